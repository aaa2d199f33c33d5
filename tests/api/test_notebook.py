"""Cells of a real Jupyter kernel, whose event loop runs: progress, interrupts, and the notebook of the manual."""

import queue
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jobs import ROOT
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient
from scenes_on_disk import speckle, write_scene
from waiting import LONG, wait_until

from runner.demo.server import serve
from runner.record.run_folder import find_runs, read_run, readable

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of Jupyter's own

NOTEBOOKS = sorted((ROOT / "runner/docs").glob("*.ipynb"))


def executed(folder: Path, *cells: str) -> list[Any]:
    """The outputs of each cell, of a notebook in this folder."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run(notebook, folder)
    return [cell.outputs for cell in notebook.cells]


def run(notebook: Any, folder: Path) -> None:
    NotebookClient(notebook, timeout=LONG, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()


def texts(outputs: list[Any]) -> str:
    return "\n".join(output.get("text") or output["data"]["text/plain"] for output in outputs)


def test_a_cell_runs_a_job_and_shows_its_progress_in_one_output(folder_of_scenes: Path, tmp_path: Path) -> None:
    words = f"['source=local', 'source.url={folder_of_scenes}/*.tif']"
    loop, news, quiet, shown, page, awaited = executed(
        tmp_path,
        "import asyncio, runner\nasyncio.get_running_loop().is_running()",
        f"run = runner.run({words})",
        f"quiet = runner.run({words}, progress=False); plan = runner.plan({words})",
        "run",
        "run.report",
        f"(await asyncio.to_thread(runner.run, {words}, progress=False)).status",
    )
    assert texts(loop) == "True"
    (output,) = news
    assert "spatial_mean+temporal_mean: " in texts([output])
    assert "█" not in texts([output])  # a bar is gone once its pass has ended
    assert quiet == []
    assert "<a href='outputs/" in shown[0]["data"]["text/html"]
    assert "<iframe srcdoc=" in page[0]["data"]["text/html"]
    assert texts(awaited) == "'COMPLETED'"


def test_a_cell_shows_an_error_with_how_to_go_on_and_without_the_runners_frames(tmp_path: Path) -> None:
    cell = "import runner\nrunner.run(['source=local', 'source.url=/nowhere/*.tif'])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    client = NotebookClient(notebook, timeout=LONG, allow_errors=True, resources={"metadata": {"path": tmp_path}})
    client.execute()
    *_, error = notebook.cells[0].outputs  # behind the news, such as that kernels are compiled
    traceback = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error["traceback"]))
    assert error["ename"] == "SourceError"
    assert "there is no folder /nowhere" in error["evalue"]
    assert "report: outputs/" in traceback
    assert "archive" not in traceback
    assert "listing.py" not in traceback


# --- interrupts -------------------------------------------------------------------------------------------------------


@contextmanager
def kernel(folder: Path) -> Iterator[tuple[KernelManager, Any]]:
    manager, client = start_new_kernel(cwd=str(folder))
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def messages(client: Any, request: str) -> Iterator[Any]:
    """What a cell sends until it has ended."""
    stop = time.monotonic() + LONG
    while time.monotonic() < stop:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return
        yield message
    raise AssertionError("the cell does not end")


def under_way(folder: Path) -> Path | None:
    """The folder of a run whose pass has begun, if there is one."""
    return next((run.path for run in readable(find_runs(folder)) if run.record.passes), None)


@pytest.mark.parametrize("cluster", ["threads", "processes"])
def test_an_interrupt_of_the_kernel_stops_the_run_in_order_and_the_next_cell_works(
    cluster: str, tmp_path: Path
) -> None:
    for day in range(1, 29):
        write_scene(tmp_path / f"bucket/scenes/202001{day:02}.tif", speckle((600, 600), seed=day))
    with serve(tmp_path / "bucket", latency_seconds=0.5) as endpoint, kernel(tmp_path) as (manager, client):
        words = ["source=local", "source.url=s3://scenes/*.tif", "source.s3.anonymous=true", "fetch.in_flight=1"]
        words += [f"source.s3.endpoint_url={endpoint}", f"cluster={cluster}", "chunks=block", "chunks.time=1"]
        request = client.execute(f"import runner; runner.run({words})")
        folder = wait_until(lambda: under_way(tmp_path))
        assert folder is not None
        manager.interrupt_kernel()
        errors = [message["content"] for message in messages(client, request) if message["msg_type"] == "error"]
        assert [error["ename"] for error in errors] in (["KeyboardInterrupt"], ["Interrupted"])
        stopped = read_run(folder)
        assert (stopped.status, stopped.record.exit_code) == ("INTERRUPTED", 130)
        again = client.execute(f"len(runner.plan({words}).passes), runner.open_run('last').status")
        results = [one["content"] for one in messages(client, again) if one["msg_type"] == "execute_result"]
        assert [result["data"]["text/plain"] for result in results] == ["(1, 'INTERRUPTED')"]


# --- the manual -------------------------------------------------------------------------------------------------------


def test_the_manual_has_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_of_the_manual_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    run(notebook, tmp_path)
    assert [cell for cell in notebook.cells if cell.get("outputs")]
