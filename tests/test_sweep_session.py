"""The story of a sweep in one process: Hydra composes it as ever, but what a job's process would do is made up."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner import config
from runner.errors import ConfigError, SweepError
from runner.sweep.board import read_leaderboard
from runner.sweep.launch import CONSOLE, Launchpad
from runner.sweep.plugins import let_hydra_find_plugins
from runner.sweep.process import Ended

GRID = ("source=local", "source.url=data/*.tif", "chunks=row,block,scene")
Sweep = Callable[..., Path]


@pytest.fixture
def sweep(tmp_path: Path, folder_of_scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Run the sweep of these words in the folder `sweep`; jobs with the word `failing` fail."""
    monkeypatch.chdir(tmp_path)
    config.register_settings()
    let_hydra_find_plugins()
    monkeypatch.setattr("runner.sweep.best.write_best", lambda _board: None)  # no job leaves a config here

    def run(*words: str, failing: str = "none") -> Path:
        def ended(_pad: Launchpad, command: Sequence[str], folder: Path) -> Ended:
            wrong = failing in command
            (folder / CONSOLE).write_text("error: s3://b/k is damaged\n" if wrong else "")
            return Ended(int(wrong), None, 1.0, 1.0, 10**6)

        monkeypatch.setattr(Launchpad, "run", ended)
        with initialize_config_dir(str(config.config_dir()), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            words = ("hydra/launcher=isolated", f"hydra.sweep.dir={tmp_path / 'sweep'}", *words)
            hydra.multirun("config", lambda _: None, list(words), with_log_configuration=False)
        return tmp_path / "sweep"

    return run


def files(folder: Path) -> dict[str, Any]:
    """What every JSON file of the sweep holds."""
    found = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    assert "sweep.json" in found
    return found


def statuses(folder: Path) -> dict[str, str]:
    return {name.partition("/")[0]: of["status"] for name, of in files(folder).items() if name.endswith("job.json")}


def varied(folder: Path) -> list[str]:
    records = [found for name, found in sorted(files(folder).items()) if name.endswith("job.json")]
    return [record["varied"].get("chunks") for record in records]


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["'engine=xarray'", "'chunks=block'"])
def test_a_resume_with_another_baseline_is_refused_and_changes_nothing(sweep: Sweep, baseline: str) -> None:
    folder = sweep(*GRID, "sweep.baseline=['chunks=row']")
    before = files(folder)
    assert varied(folder) == ["row", "block", "scene"]
    with pytest.raises(SweepError, match=r"sweep.baseline=.*: the sweep in .* was begun with \['chunks=row'\]"):
        sweep(*GRID, f"sweep.baseline=[{baseline}]", f"sweep.resume={folder}")
    assert files(folder) == before


def test_a_resume_of_jobs_whose_files_have_changed_is_refused_and_changes_nothing(sweep: Sweep) -> None:
    mine = Path("mine/chunks/row.yaml")
    mine.parent.mkdir(parents=True)
    words = (*GRID, f"hydra.searchpath=[file://{mine.parent.parent.absolute()}]")
    (mine.parent / "own.yaml").write_text("y: 100\n")
    words = tuple(word.replace("scene", "own") for word in words)
    folder = sweep(*words)
    before = files(folder)
    (mine.parent / "own.yaml").write_text("y: 200\n")
    with pytest.raises(SweepError, match=r"sweep/002: the config of this job is not what it was"):
        sweep(*words, f"sweep.resume={folder}")
    assert files(folder) == before


def test_a_resume_of_what_is_complete_runs_nothing(sweep: Sweep) -> None:
    folder = sweep(*GRID)
    before = files(folder)
    after = files(sweep(*GRID, "sweep.resume=auto"))
    assert {name: of for name, of in after.items() if name != "sweep.json"} == {
        name: of for name, of in before.items() if name != "sweep.json"
    }


# --- the first rung ---------------------------------------------------------------------------------------------------


def test_a_job_that_fails_on_few_scenes_is_failed_not_pruned(sweep: Sweep, tmp_path: Path) -> None:
    words = (*GRID, "sweep.prune=2", "sweep.repeats=2", "sweep.keep=0.1")
    with pytest.raises(SweepError, match="2 of 10 runs did not complete"):
        sweep(*words, failing="chunks=scene")
    board = read_leaderboard(tmp_path / "sweep")
    assert {row.job: row.status for row in board.rows} == {0: "COMPLETED", 1: "COMPLETED", 2: "FAILED"}
    failed = board.rows[-1]
    assert failed.reason == "on few scenes: 2 of 2 attempts FAILED: s3://b/k is damaged"
    assert failed.few_seconds is None
    assert board.exit_code == 1
    assert statuses(sweep(*words, "sweep.resume=auto"))["002"] == "PRUNED"
    with pytest.raises(SweepError, match="1 of"):
        sweep(*words, "sweep.repeats=3", "sweep.resume=auto", failing="chunks=scene")
    assert read_leaderboard(tmp_path / "sweep").rows[-1].status == "FAILED"


# --- the baseline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["sweep.repeats=2", "chunks=nope", "source.limit=0"])
def test_a_baseline_that_cannot_be_ends_the_sweep_before_it_begins(sweep: Sweep, word: str) -> None:
    with pytest.raises(ConfigError, match=rf"sweep\.baseline.*{word}"):
        sweep(*GRID, f"sweep.baseline=['{word}']")
    assert not Path("sweep/sweep.json").exists()
