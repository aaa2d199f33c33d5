"""Sweeps as a user types them: every job in a process of its own, and a row for each, however it ended."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from jobs import Cli
from waiting import LONG, lives, wait_until

pytestmark = pytest.mark.slow  # each starts sweeps

ISOLATED = ("-m", "hydra/launcher=isolated", "hydra.sweep.dir=sweep", "source=local", "source.url=data/*.tif")
# A cluster that is waited for, and does not come: for as long as the test wants.
_AWAY = "kind:address,address:'tcp://127.0.0.1:1',start_timeout"
FINE, FAILING, REFUSED = "{kind:threads}", f"{{{_AWAY}:0.2}}", "{kind:processes,n_workers:1,memory_limit:1MB}"
SLOW, KILLED = f"{{{_AWAY}:5000}}", f"{{{_AWAY}:6000}}"
CLUSTER = "stages.spatial_mean.cluster"

EXPERIMENT = f"""\
# @package _global_
# How do jobs end?
defaults:
  - override /source: local
  - override /hydra/launcher: isolated
hydra:
  mode: MULTIRUN
  sweep:
    dir: sweep
  sweeper:
    params:
      {CLUSTER}: "{FINE},{FAILING},{REFUSED},{SLOW},{KILLED}"
source:
  url: data/*.tif
sweep:
  n_jobs: 4
  baseline: ["{CLUSTER}={FINE}"]
"""


def rows(sweep: Path) -> dict[str, dict[str, Any]]:
    """The `job.json` of every attempt, by its folder's name."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("[0-9]*/job.json"))}


def column(sweep: Path, key: str) -> list[Any]:
    return [row[key] for row in rows(sweep).values()]


def of_sweep(sweep: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return facts


def pid_of_run(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / "run.json").read_text())["pid"])
    except (OSError, ValueError):
        return None


def test_jobs_that_end_in_every_way_are_rows_and_only_those_in_trouble_run_again(
    cli: Cli, tmp_path: Path, folder_of_scenes: Path
) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/ends.yaml").write_text(EXPERIMENT)
    sweep, overrides = tmp_path / "sweep", ("--config-dir", "mine", "experiment=ends")

    def kill_those_that_wait() -> None:
        for name in ("003", "004"):
            os.kill(wait_until(lambda folder=sweep / name: pid_of_run(folder)), signal.SIGKILL)

    killer = threading.Thread(target=kill_those_that_wait)
    killer.start()
    done = cli(*overrides)
    killer.join()

    assert done.returncode == 1, done.stderr
    assert column(sweep, "status") == ["COMPLETED", "FAILED", "REFUSED", "DIED", "DIED"]
    assert column(sweep, "baseline") == [True, False, False, False, False]
    reasons = [str(reason) for reason in column(sweep, "reason")]
    wanted = ("None", "no dask scheduler answers", "memory_limit", "SIGKILL", "SIGKILL")
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True)), reasons
    assert sorted(order for order in column(sweep, "order") if order is not None) == [0, 1, 2, 3]
    assert [path.name for path in (sweep / "002").iterdir()] == ["job.json"]
    assert (of_sweep(sweep)["status"], of_sweep(sweep)["planned"]) == ("FAILED", 4)
    assert "2 of 5 runs" not in done.stderr
    assert "3 of 5 runs did not complete (1 FAILED, 2 DIED)" in done.stderr
    assert "no dask scheduler answers" in (sweep / "001/console.log").read_text()
    assert (sweep / "sweep.parquet").is_file()
    before = {name: row["started"] for name, row in rows(sweep).items()}

    again = cli(*overrides, "sweep.resume=sweep", "sweep.timeout=2")
    assert again.returncode == 1, again.stderr
    after = rows(sweep)
    assert {name for name in after if after[name]["started"] != before[name]} == {"001", "003", "004"}
    assert (after["003"]["status"], after["004"]["status"]) == ("TIMEOUT", "TIMEOUT")
    assert "sweep.timeout=2" in after["004"]["reason"]
    assert sorted(path.name for path in (sweep / ".earlier").iterdir()) == ["001.1", "003.1", "004.1"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_job_cleanly_and_keeps_the_table(
    tmp_path: Path, folder_of_scenes: Path, number: int, code: int
) -> None:
    overrides = [*ISOLATED, f"{CLUSTER}={FINE},{SLOW}", "sweep.repeats=2", "sweep.n_jobs=2"]
    command = [sys.executable, "-m", "runner", *overrides]
    sweep = tmp_path / "sweep"
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_until(lambda: pid_of_run(sweep / "001") and column(sweep, "status").count("COMPLETED"))
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
            output, _ = process.communicate(timeout=LONG)
        finally:
            process.kill()
    assert process.returncode == code, output
    assert "Traceback" not in output
    found = rows(sweep)
    assert (found["000"]["status"], found["001"]["status"]) == ("COMPLETED", "INTERRUPTED")
    assert found["001"]["exit_code"] == json.loads((sweep / "001/run.json").read_text())["exit_code"] == code
    assert of_sweep(sweep)["status"] == "INTERRUPTED"
    assert (sweep / "sweep.parquet").is_file()
    wait_until(lambda: not any(map(lives, children)))


def test_few_scenes_choose_the_settings_that_get_all_scenes(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    overrides = (*ISOLATED, "chunks=block,row,scene", "sweep.prune=2", "sweep.keep=0.1", "sweep.repeats=2")
    done = cli(*overrides)
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "sweep"
    assert {f"00{job}-few{again}" for job in range(3) for again in ("", "-2")} < rows(sweep).keys()
    whole = [name for name, row in rows(sweep).items() if row["rung"] == "all" and row["status"] == "COMPLETED"]
    (pruned,) = [row for row in rows(sweep).values() if row["status"] == "PRUNED"]
    assert len(whole) == 4
    assert pruned["reason"] == "place 3 of 3 on 2 scenes, by wall; the best 2 go on"
    scenes = {name: json.loads((sweep / name / "run.json").read_text())["stack"]["scenes"] for name in whole}
    assert set(scenes.values()) == {4}
    assert json.loads((sweep / "000-few/run.json").read_text())["stack"]["scenes"] == 2
    again = cli(*overrides, "sweep.resume=auto")
    assert again.returncode == 0, again.stderr
    assert not (sweep / ".earlier").exists()


def test_a_search_is_resumed_where_it_ended(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    pytest.importorskip("optuna", reason="the extra `search` is not installed")
    overrides = (*ISOLATED, "fetch.in_flight=interval(1,8)", "chunks=block,row", "sweep.search=optuna",
             "sweep.objective=[wall,peak]")  # fmt: skip
    first = cli(*overrides, "sweep.trials=2")
    assert first.returncode == 0, first.stderr
    before = rows(tmp_path / "sweep")
    assert list(before) == ["000", "001"]
    assert all(1 <= int(row["varied"]["fetch.in_flight"]) <= 8 for row in before.values())
    again = cli(*overrides, "sweep.trials=3", "sweep.resume=sweep")
    assert again.returncode == 0, again.stderr
    after = rows(tmp_path / "sweep")
    assert list(after) == ["000", "001", "002"]
    assert all(after[name]["started"] == row["started"] for name, row in before.items())
    tried = {json.dumps(row["varied"]) for row in after.values()}
    assert len(tried) == 3


def test_a_search_without_optuna_says_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none/optuna.py").write_text("raise ImportError('not here')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "none"), os.environ.get("PYTHONPATH", "")]),
    }
    done = cli("-m", "hydra/launcher=isolated", "chunks=block,row", "sweep.search=optuna", env=environment)
    assert done.returncode == 2
    assert "pip install 'optuna>=4.2'" in done.stderr


def test_submitit_runs_the_jobs_and_reports_those_that_fail(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra `submitit` is not installed")
    local = ("-m", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep", "source=local", "source.url=data/*.tif")
    (folder_of_scenes / "S1A_20200130_ASC.tif").write_bytes(b"damaged")
    done = cli(*local, "on_error=skip,stop")
    assert done.returncode == 1
    assert "1 of 2 jobs did not complete: 1" in done.stderr
    statuses = [json.loads((tmp_path / f"sweep/{at}/run.json").read_text())["status"] for at in (0, 1)]
    assert statuses == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.repeats=2"], "sweep.repeats=2: this is a single job; give -m and hydra/launcher=isolated"),
        (["-m", "chunks=block,row", "sweep.repeats=2"], "this is for hydra/launcher=isolated, which is not chosen"),
        ([*ISOLATED, "chunks=block,row", "sweep.repeats=0"], "sweep.repeats=0: wanted a whole number from 1 on"),
        (["-m", "chunks=block,rwo"], "chunks=rwo: no such option; did you mean 'row'"),
        ([*ISOLATED, "sweep.seed=1,2"], "sweep.seed=1,2: give one value, for the whole sweep"),
        ([*ISOLATED, "fetch.in_flight=interval(1,8)"], "an interval has any number of values; set sweep.search=optuna"),
        ([*ISOLATED, "fetch.in_flight=0,-1"], "fetch.in_flight=0: wanted a whole number from 1 on"),
        ([*ISOLATED, "chunks=block,row", "sweep.resume=nowhere"], "there is no sweep.json"),
        ([*ISOLATED, "sweep.baseline=[gdal.options.GDAL_HTTP_BEARER=x]"], "a secret has no place in a setting"),
    ],
)
def test_wrong_settings_of_a_sweep_are_one_line_and_leave_nothing(
    cli: Cli, tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = cli(*overrides)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.rglob("sweep.json"), *tmp_path.rglob("multirun.yaml")]
