"""The story of a sweep in one process: Hydra composes it as ever, but what a job's process would do is made up."""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from marks import few_quick

from runner.config import job_config
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError, SweepError
from runner.leaderboard.board import read_leaderboard
from runner.sweep.launch import CONSOLE, Launchpad
from runner.sweep.process import Ended

GRID = ("source=local", "source.url=data/*.tif", "chunks=row,block,scene")
Sweep = Callable[..., Path]


@pytest.fixture
def returns() -> list[Any]:
    """The results of each sweep for Hydra."""
    return []


@pytest.fixture
def sweep(
    tmp_path: Path, folder_of_scenes: Path, monkeypatch: pytest.MonkeyPatch, returns: list[Any]
) -> Iterator[Sweep]:
    """Run the sweep of these overrides in the folder `sweep`; jobs with the override `failing` fail."""
    monkeypatch.chdir(tmp_path)
    job_config.register_settings()
    monkeypatch.setattr("runner.leaderboard.best_config.write_best", lambda _board: None)  # no job leaves a config here

    def run(*overrides: str, failing: str = "none") -> Path:
        def ended(_pad: Launchpad, command: Sequence[str], folder: Path) -> Ended:
            wrong = failing in command
            (folder / CONSOLE).write_text("error: s3://b/k is damaged\n" if wrong else "")
            return Ended(int(wrong), None, 1.0, 1.0, 10**6)

        monkeypatch.setattr(Launchpad, "run", ended)
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            overrides = ("hydra/launcher=isolated", f"hydra.sweep.dir={tmp_path / 'sweep'}", *overrides)
            returns.append(hydra.multirun("config", lambda _: None, list(overrides), with_log_configuration=False))
        return tmp_path / "sweep"

    yield run
    logging.getLogger("runner").setLevel(logging.NOTSET)  # a sweep leaves it at WARNING


def files(folder: Path) -> dict[str, Any]:
    """Every JSON file of the sweep."""
    paths = [folder / "sweep.json", *folder.glob("[0-9]*/job.json")]
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in paths}


def records(folder: Path) -> dict[str, Any]:
    """The `job.json` of every attempt, by its folder's name."""
    return {name.partition("/")[0]: of for name, of in sorted(files(folder).items()) if name.endswith("job.json")}


def statuses(folder: Path) -> dict[str, str]:
    return {name: record["status"] for name, record in records(folder).items()}


def varied(folder: Path) -> list[str]:
    return [record["varied"].get("chunks") for record in records(folder).values()]


# --- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_for_all_stages_is_one_setting_of_a_sweep(sweep: Sweep) -> None:
    folder = sweep("cluster=threads,processes", "chunks=row")
    assert [record["varied"] for record in records(folder).values()] == [
        {"cluster": "threads"}, {"cluster": "processes"},
    ]  # fmt: skip


@pytest.mark.parametrize("launcher", ["isolated", "basic"])
@pytest.mark.parametrize("override", few_quick(["output.dir=x", "output.dir=x,y", "experiment=theirs"]))
def test_a_folder_for_all_jobs_is_refused(sweep: Sweep, tmp_path: Path, launcher: str, override: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/theirs.yaml").write_text("# @package _global_\noutput: {dir: x}\n")
    wanted = r"output.dir=x(,y)?: each job of a sweep has a folder of its own; hydra.sweep.dir=FOLDER names the sweep's"
    with pytest.raises(ConfigError, match=wanted):
        sweep(*GRID, f"hydra/launcher={launcher}", f"hydra.searchpath=[file://{tmp_path}]", override)
    assert not (tmp_path / "sweep").exists()


def test_a_secret_in_a_config_file_is_not_written_by_hydra_either(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/theirs.yaml").write_text("# @package _global_\nsource: {units: 'x?X-Amz-Signature=abc'}\n")
    with pytest.raises(ConfigError, match=r"source.units=\[redacted\]: a secret has no place in a setting"):
        sweep(*GRID, "hydra/launcher=basic", f"hydra.searchpath=[file://{tmp_path}]", "experiment=theirs")
    assert not (tmp_path / "sweep").exists()


# --- wrong settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("chunks=row,rwo", "chunks=rwo: no such option; did you mean 'row'"),
        ("fetch.in_fligth=4,8", "fetch.in_fligth: there is no such setting; did you mean 'fetch.in_flight"),
        pytest.param("stages.spatial_mean.statistics=[mean],[meen]", "meen", marks=pytest.mark.slow),
        ("fetch.in_flight=4,0", "fetch.in_flight=0: wanted a whole number from 1 on"),
        pytest.param(
            "stages.spatial_mean.cluster={kind:threads},{kind:threads,n_workers:7}",
            "n_workers=7: wanted 1 or nothing",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_value_that_no_job_can_have_refuses_the_whole_sweep(sweep: Sweep, override: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as refusal:
        sweep(*GRID[:2], override, "mask=nodata,none")
    assert refusal.value.exit_code == 2
    assert not Path("sweep").exists()


@pytest.mark.slow
def test_settings_that_contradict_each_other_are_a_row(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep(*GRID[:2], "cluster=threads,processes", "cluster.n_workers=1,2")
    assert list(statuses(folder).values()) == ["COMPLETED", "REFUSED", "COMPLETED", "COMPLETED"]
    shown = capsys.readouterr()
    assert "1 of 4 jobs cannot run; the table says why" in shown.err
    assert "REFUSED: job 1, cluster=threads cluster.n_workers=2: stages.spatial_mean.cluster.n_workers=2: " in shown.out


def test_a_job_that_the_plan_refuses_is_a_row_that_names_its_setting_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "chunks=scene: a task needs 3 GB"
    refusal = lambda _planner, job: problem if job.chunks.y == "all" else None  # noqa: E731
    monkeypatch.setattr("runner.sweep.session.Planner.refusal", refusal)
    folder = sweep(*GRID)
    assert statuses(folder) == {"000": "COMPLETED", "001": "COMPLETED", "002": "REFUSED"}
    assert f"REFUSED: job 2: {problem}\n" in capsys.readouterr().out


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("baseline", few_quick(["'engine=xarray'", "'chunks=block'"]))
def test_a_resume_with_another_baseline_is_refused_and_changes_nothing(sweep: Sweep, baseline: str) -> None:
    folder = sweep(*GRID, "sweep.baseline=['chunks=row']")
    before = files(folder)
    assert varied(folder) == ["row", "block", "scene"]
    with pytest.raises(SweepError, match=r"sweep.baseline=.*: the sweep in .* started with \[chunks=row\]"):
        sweep(*GRID, f"sweep.baseline=[{baseline}]", f"sweep.resume={folder}")
    assert files(folder) == before


def test_a_resume_of_jobs_whose_files_have_changed_is_refused_and_changes_nothing(sweep: Sweep) -> None:
    mine = Path("mine/chunks/row.yaml")
    mine.parent.mkdir(parents=True)
    overrides = (*GRID, f"hydra.searchpath=[file://{mine.parent.parent.absolute()}]")
    (mine.parent / "own.yaml").write_text("y: 100\n")
    overrides = tuple(override.replace("scene", "own") for override in overrides)
    folder = sweep(*overrides)
    before = files(folder)
    (mine.parent / "own.yaml").write_text("y: 200\n")
    with pytest.raises(SweepError, match=r"sweep/002: the config of this job has changed"):
        sweep(*overrides, f"sweep.resume={folder}")
    assert files(folder) == before


def test_a_resume_of_what_is_complete_runs_nothing(sweep: Sweep) -> None:
    folder = sweep(*GRID)
    before = records(folder)
    assert records(sweep(*GRID, "sweep.resume=auto")) == before


@pytest.mark.slow
def test_the_overrides_of_a_resume_may_have_another_order(sweep: Sweep) -> None:
    folder = sweep(*GRID, "mask=nodata,none")
    before = records(folder)
    assert records(sweep(GRID[2], *GRID[:2], "mask=nodata,none", "sweep.resume=auto")) == before
    with pytest.raises(SweepError, match="give the overrides in the order of its first command"):
        sweep("mask=nodata,none", *GRID, "sweep.resume=auto")
    assert records(folder) == before


@pytest.mark.slow
def test_a_run_with_a_damaged_record_runs_again(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep(*GRID)
    (folder / "001/job.json").write_text('{"schema": 1, "sta')
    sweep(*GRID, f"sweep.resume={folder}")
    assert statuses(folder) == dict.fromkeys(("000", "001", "002"), "COMPLETED")
    assert (folder / ".earlier/001.1/job.json").read_text() == '{"schema": 1, "sta'
    assert "001/job.json cannot be read as JSON" in capsys.readouterr().err


# --- the first rung ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_that_fails_on_few_scenes_is_failed_not_pruned(sweep: Sweep, tmp_path: Path) -> None:
    overrides = (*GRID, "sweep.prune=2", "sweep.repeats=2", "sweep.keep=0.1")
    with pytest.raises(SweepError, match="2 of 10 runs did not complete"):
        sweep(*overrides, failing="chunks=scene")
    board = read_leaderboard(tmp_path / "sweep")
    assert {row.job: row.status for row in board.rows} == {0: "COMPLETED", 1: "COMPLETED", 2: "FAILED"}
    failed = board.rows[-1]
    assert failed.reason == "on few scenes: 2 of 2 attempts FAILED: s3://b/k is damaged"
    assert failed.few_seconds is None
    assert board.exit_code == 1
    assert statuses(sweep(*overrides, "sweep.resume=auto"))["002"] == "PRUNED"
    with pytest.raises(SweepError, match="1 of"):
        sweep(*overrides, "sweep.repeats=3", "sweep.resume=auto", failing="chunks=scene")
    assert read_leaderboard(tmp_path / "sweep").rows[-1].status == "FAILED"


# --- the baseline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["sweep.repeats=2", "chunks=nope", "source.limit=0"])
def test_a_baseline_with_wrong_settings_ends_the_sweep_before_it_starts(sweep: Sweep, override: str) -> None:
    with pytest.raises(ConfigError, match=rf"sweep\.baseline.*{override}"):
        sweep(*GRID, f"sweep.baseline=['{override}']")
    assert not Path("sweep/sweep.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("baseline", few_quick(["chunks=notebook", "chunks=block"]))
def test_another_sweeper_gets_a_result_for_each_of_its_jobs(sweep: Sweep, returns: list[Any], baseline: str) -> None:
    sweep("hydra/sweeper=basic", *GRID, f"sweep.baseline=['{baseline}']")
    ((batch,),) = returns
    assert [job.overrides[-1] for job in batch] == ["chunks=row", "chunks=block", "chunks=scene"]
    assert [job.return_value for job in batch] == [1.0, 1.0, 1.0]


# --- a search ---------------------------------------------------------------------------------------------------------

SEARCH = ("source=local", "source.url=data/*.tif", "chunks=row,block", "sweep.search=optuna")


@pytest.fixture
def _optuna() -> None:
    pytest.importorskip("optuna", reason="the extra `search` is not installed")


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_a_search_counts_over_all_its_trials_and_ends_when_all_have_run(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(*SEARCH, "sweep.trials=5", "sweep.repeats=2", "sweep.baseline=['engine=xarray']")
    shown = capsys.readouterr()
    counts = [line.partition(":")[0] for line in shown.err.splitlines() if " COMPLETED in " in line]
    assert counts == [f"{number} of 12" for number in range(1, 7)]
    assert "nothing new is proposed after 2 trials" in shown.err
    assert "have not started" not in shown.out
    assert files(folder)["sweep.json"]["planned"] == 6


@pytest.mark.usefixtures("_optuna")
@pytest.mark.parametrize(
    ("override", "problem"),
    [("chunks=row,rwo", "chunks=rwo: no such option"), ("fetch.in_fligth=interval(1,8)", "did you mean")],
)
def test_a_search_among_values_that_do_not_exist_is_refused(sweep: Sweep, override: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        sweep(*SEARCH[:2], override, SEARCH[3])
    assert not Path("sweep").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_a_proposal_that_equals_the_baseline_is_not_another_job(sweep: Sweep) -> None:
    overrides = (*SEARCH, "sweep.trials=2", "sweep.baseline=['chunks=row']")
    folder = sweep(*overrides)
    records_before = records(folder)
    assert varied(folder) == ["row", "block"]
    assert records(sweep(*overrides, "sweep.resume=auto")) == records_before


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_a_search_with_another_baseline_is_refused_and_changes_nothing(sweep: Sweep) -> None:
    folder = sweep(*SEARCH, "sweep.trials=1", "sweep.baseline=['engine=xarray']")
    before = files(folder)
    with pytest.raises(SweepError, match=r"sweep\.baseline="):
        sweep(*SEARCH, "sweep.trials=2", "sweep.resume=auto")
    assert files(folder) == before


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_trials_keep_their_numbers_if_a_record_is_lost(sweep: Sweep) -> None:
    folder = sweep(*SEARCH, "sweep.trials=2")
    first, second = records(folder).values()
    (folder / "000/job.json").write_text("")
    sweep(*SEARCH, "sweep.trials=2", f"sweep.resume={folder}")
    (folder / "000").rename(folder / "lost")
    after = records(folder)
    assert after["001"] == second
    assert after["002"]["overrides"] == first["overrides"]
