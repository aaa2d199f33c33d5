"""What people see cannot fail what was computed: streams that are full, closed, or cannot spell a text."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from jobs import ROOT
from waiting import LONG

from runner.base.streams import _open_if_closed, lost, steady


@pytest.fixture
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe whose reader has gone, as `head -1` does."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_full_disk_drops_the_text_and_is_remembered(full: int) -> None:
    stream = steady(None, full)
    for _ in range(3):
        print("x" * 100_000, file=stream, flush=True)
    assert "No space left" in str(lost(stream))


def test_a_reader_who_has_gone_is_no_loss(unread: int) -> None:
    stream = steady(None, unread)
    print("x" * 100_000, file=stream, flush=True)
    assert lost(stream) is None


@pytest.mark.parametrize("text", ["Gr\u00fcn", "\udce9t\u00e9.tif", "a\u2192b"])
def test_what_an_encoding_lacks_is_escaped(text: str) -> None:
    reader, writer = os.pipe()
    stream = steady(io.TextIOWrapper(io.BytesIO(), encoding="ascii"), writer)
    print(text, file=stream, flush=True)
    assert os.read(reader, 100).decode("ascii") == text.encode("ascii", "backslashreplace").decode() + "\n"
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with ThreadPoolExecutor(1) as pool, os.fdopen(reader, "rb") as pipe:
        came = pool.submit(pipe.read)
        print("x" * 1_000_000, file=steady(None, writer), flush=True)
        os.close(writer)
        assert len(came.result()) == 1_000_001


def test_a_closed_descriptor_is_opened_so_that_no_file_takes_its_number(tmp_path: Path) -> None:
    free = os.open(tmp_path, os.O_RDONLY)
    os.close(free)
    _open_if_closed(free, os.O_WRONLY)
    try:
        assert os.write(free, b"dropped") == 7
        assert Path(f"/proc/self/fd/{free}").readlink() == Path(os.devnull) or sys.platform != "linux"
    finally:
        os.close(free)


def test_a_run_that_nobody_can_see_is_completed_all_the_same(folder_of_scenes: Path, full: int, unread: int) -> None:
    folder = folder_of_scenes.parent / "run"
    words = ["source=local", f"source.url='{folder_of_scenes}/*.tif'", f"output.dir={folder}"]
    command = [sys.executable, "-m", "runner", *words]
    assert subprocess.run(command, cwd=ROOT, stdout=full, stderr=unread, timeout=LONG).returncode == 0
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert (folder / "temporal_mean.tif").exists()
    assert "stdout cannot be written: No space left on device" in (folder / "run.log").read_text()


@pytest.mark.slow
def test_a_text_that_is_all_that_was_asked_for_has_an_exit_code(full: int, unread: int) -> None:
    """As --help, --cfg, --info and a plan have."""
    command = [sys.executable, "-m", "runner", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONG)
    assert done.returncode == 1
    assert "error: stdout cannot be written: No space left on device" in done.stderr
    assert subprocess.run(command, cwd=ROOT, stdout=unread, stderr=subprocess.DEVNULL, timeout=LONG).returncode == 0


def test_a_list_that_cannot_be_written_has_an_exit_code(tmp_path: Path, full: int) -> None:
    command = [sys.executable, "-m", "runner.log", "ls", "--json", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONG)
    assert done.returncode == 1
    assert "stdout cannot be written: No space left on device" in done.stderr
