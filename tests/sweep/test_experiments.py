"""The experiments that tune: every job is valid, and one sweep from its command to a run of its winner."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jobs import ROOT, Cli, compose
from log_folders import ask

pytestmark = pytest.mark.slow  # each starts sweeps

TUNING = sorted(path for path in (ROOT / "conf/experiment").glob("*.yaml") if "MULTIRUN" in path.read_text())
MOST_RUNS = 30  # of the demo, which takes some three seconds


def swept(path: Path) -> list[tuple[str, ...]]:
    """The overrides of each job, and last those of the baseline."""
    experiment = yaml.safe_load(path.read_text())
    params = experiment["hydra"]["sweeper"]["params"]
    swept = [[f"{key}={value}" for value in str(values).split(",")] for key, values in params.items()]
    return [*itertools.product(*swept), tuple(experiment["sweep"]["baseline"])]


@pytest.mark.parametrize("path", TUNING, ids=lambda path: path.stem)
def test_every_job_of_it_is_valid_and_different(path: Path) -> None:
    *grid, baseline = swept(path)
    jobs = [compose(f"experiment={path.stem}", *overrides) for overrides in grid]
    assert not any(a == b for a, b in itertools.combinations(jobs, 2))
    assert compose(f"experiment={path.stem}", *baseline)
    assert (len(grid) + 1) * yaml.safe_load(path.read_text())["sweep"]["repeats"] <= MOST_RUNS


@pytest.mark.parametrize("path", TUNING, ids=lambda path: path.stem)
def test_it_begins_with_one_question(path: Path) -> None:
    assert path.read_text().splitlines()[1].count("?") == 1


def test_a_sweep_of_the_demo_names_a_winner_that_can_be_run(cli: Cli, tmp_path: Path) -> None:
    fewer = "chunks=block,scene"  # of the jobs that it has
    overrides = ("source.limit=2", "sweep.repeats=1", "hydra.sweep.dir=sweep", fewer)
    done = cli("experiment=tune_chunks", *overrides, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "scene" in done.stdout
    board: dict[str, Any] = json.loads(ask(tmp_path, "leaderboard", "sweep", "--json").stdout)
    assert board["same_bits"]
    assert len(board["jobs"]) == 3
    again = cli("--config-dir", "sweep", "experiment=best", "output.dir=again")
    assert again.returncode == 0, again.stderr
    best = next(job for job in board["jobs"] if job["rank"] == 1)
    assert digests(tmp_path / "again") == digests(tmp_path / "sweep" / best["folders"][0])


def digests(folder: Path) -> list[str]:
    files = json.loads((folder / "outputs.json").read_text())["files"]
    return [values["sha256"] for file in files for values in file["values"]]
