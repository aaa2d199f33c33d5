"""The leaderboard of sweeps written by hand: ranks, ties, bits, ends of every kind, plain multiruns, the verb."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from log_folders import asked, write_run
from sweep_folders import (
    BLOCK,
    CLUSTERS,
    MB,
    ROW,
    SCENE,
    Job,
    alter,
    board_of,
    clusters,
    grid,
    places,
    trouble,
    write_results,
    write_sweep,
)  # fmt: skip

from runner.errors import RecordError
from runner.leaderboard.answer import answer
from runner.leaderboard.attempts import choose_sweep
from runner.leaderboard.board import read_leaderboard
from runner.leaderboard.show import show_leaderboard, write_leaderboard
from runner.leaderboard.table import WIDTH, cells

# --- ranks ----------------------------------------------------------------------------------------------------------


def test_jobs_rank_by_the_median_of_their_repeats(tmp_path: Path) -> None:
    board = board_of(tmp_path, Job(ROW, (3.0, 3.1, 3.0)), Job(BLOCK, (2.0, 9.0, 2.0)), Job(SCENE, (2.5, 2.5, 2.5)))
    assert [row.job for row in board.rows] == [1, 2, 0]
    assert board.rows[0].wall_seconds == 2.0


def test_without_repeats_a_tenth_is_a_tie_by_assumption(tmp_path: Path) -> None:
    board = board_of(tmp_path, Job(ROW, (2.0,)), Job(BLOCK, (2.19,)), Job(SCENE, (2.3,)))
    assert places(board) == [(0, 1), (1, 1), (2, 3)]
    assert [row.tied for row in board.rows] == [True, True, False]
    assert "It ties with 1 other: chunks=block." in answer(board)[1]
    assert "assumed to be noise" in answer(board)[1]


def test_the_spread_of_the_repeats_decides_what_is_a_tie(tmp_path: Path) -> None:
    quiet = board_of(tmp_path / "quiet", Job(ROW, (2.0, 2.01, 1.99)), Job(BLOCK, (2.1, 2.11, 2.09)))
    loud = board_of(tmp_path / "loud", Job(ROW, (2.0, 2.3, 1.8)), Job(BLOCK, (2.1, 2.4, 1.9)))
    assert places(quiet) == [(0, 1), (1, 2)]
    assert places(loud) == [(0, 1), (1, 1)]


def test_a_tie_of_all_jobs_is_reported_once(tmp_path: Path) -> None:
    said = answer(board_of(tmp_path, Job(ROW, (2.0,)), Job(BLOCK, (2.1,)), Job(SCENE, (2.15,))))
    assert said[0].startswith("All 3 jobs tie; fastest by a small margin: chunks=row")
    assert not [line for line in said if "It ties with" in line]
    assert "assumed to be noise" in said[1]


def test_memory_can_be_the_objective(tmp_path: Path) -> None:
    jobs = (Job(ROW, (2.0,), 900 * MB), Job(BLOCK, (4.0,), 300 * MB))
    board = board_of(tmp_path, *jobs, settings={"objective": ["peak"]})
    assert places(board) == [(1, 1), (0, 2)]
    assert answer(board)[0].startswith("Least memory: chunks=block")


def test_a_second_objective_decides_among_those_that_tie_in_the_first(tmp_path: Path) -> None:
    jobs = (Job(ROW, (2.0,), 900 * MB), Job(BLOCK, (2.1,), 300 * MB), Job(SCENE, (5.0,), 100 * MB))
    board = board_of(tmp_path, *jobs, settings={"objective": ["wall", "peak"]})
    assert places(board) == [(1, 1), (0, 1), (2, 3)]


def test_the_front_of_time_and_memory_is_marked(tmp_path: Path) -> None:
    jobs = (Job(ROW, (2.0,), 900 * MB), Job(BLOCK, (4.0,), 300 * MB), Job(SCENE, (5.0,), 400 * MB))
    assert {row.job: row.front for row in board_of(tmp_path, *jobs).rows} == {0: True, 1: True, 2: False}


def test_jobs_are_compared_with_the_baseline(tmp_path: Path) -> None:
    board = board_of(tmp_path, Job(ROW, (6.0,), baseline=True), Job(BLOCK, (2.0,)))
    assert [row.ratio for row in board.rows] == [3.0, 1.0]
    assert "3x as fast as the baseline (6.00 s)" in answer(board)[0]


def test_a_winner_that_ties_with_the_baseline_is_not_praised(tmp_path: Path) -> None:
    board = board_of(tmp_path, Job(ROW, (2.1,), baseline=True), Job(BLOCK, (2.0,)))
    assert "1.05x as fast as the baseline (2.10 s), which is a tie" in answer(board)[0]


# --- bits -----------------------------------------------------------------------------------------------------------


def test_equal_values_are_the_same(tmp_path: Path) -> None:
    board = board_of(tmp_path, Job(ROW), Job(BLOCK))
    assert [row.agreement.verdict for row in board.rows] == ["same", "same"]
    assert board.exit_code == 0


def test_a_disagreement_comes_first_and_names_no_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW), Job(BLOCK, (1.0,), bits="wrong"), Job(SCENE)])
    board = write_leaderboard(folder)
    assert board.exit_code == 1
    assert board.best is None
    assert not (folder / "experiment/best.yaml").exists()
    show_leaderboard(board)
    shown = capsys.readouterr().out
    assert "NOT THE SAME BITS: 1 job computed other values than job 0 and the jobs that agree with it: job 1 (" in shown
    assert "(temporal_mean: mean)" in shown
    assert "DIFFER" in shown
    assert "NOT THE SAME BITS" in (folder / "sweep.html").read_text()


def test_repeats_that_disagree_are_reported_too(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, (2.0, 2.0)), Job(BLOCK, (2.0, 2.0))])
    other = json.loads((folder / "001-2/outputs.json").read_text())
    other["files"][0]["values"][0]["sha256"] = "0" * 64
    (folder / "001-2/outputs.json").write_text(json.dumps(other))
    assert [row.job for row in read_leaderboard(folder).disagreeing] == [1]


@pytest.mark.parametrize(
    "other",
    [
        Job(BLOCK, bits="other", scenes=("a",)),  # other objects
        Job(BLOCK, bits="other", more={"mask.own": "none"}),
        Job(BLOCK, bits="other", more={"source.nodata": 0}),
    ],
    ids=["scenes", "mask", "nodata"],
)
def test_jobs_that_ask_for_other_values_need_not_agree(tmp_path: Path, other: Job) -> None:
    board = board_of(tmp_path, Job(ROW), other)
    assert {row.agreement.verdict for row in board.rows} == {"alone"}
    assert board.exit_code == 0


def test_missing_results_are_unknown(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW), Job(BLOCK), Job(SCENE)])
    (folder / "002/outputs.json").unlink()
    assert {row.job: row.agreement.verdict for row in read_leaderboard(folder).rows} == {
        0: "same",
        1: "same",
        2: "unknown",
    }


# --- ends of every kind ---------------------------------------------------------------------------------------------


def test_jobs_that_did_not_complete_are_rows_without_a_rank(tmp_path: Path) -> None:
    board = board_of(tmp_path, *[job for job in trouble() if job.bits == "right"])
    statuses = [row.status for row in board.rows]
    assert statuses[:4] == ["COMPLETED", "COMPLETED", "PRUNED", "REFUSED"]
    assert set(statuses[4:]) == {"FAILED", "TIMEOUT", "OUT_OF_MEMORY", "DIED", "INTERRUPTED"}
    assert all((row.rank is None) == (row.status != "COMPLETED") for row in board.rows)
    assert board.exit_code == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("REFUSED", 0),
        ("PRUNED", 0),
        ("FAILED", 1),
        ("TIMEOUT", 1),
        ("OUT_OF_MEMORY", 1),
        ("DIED", 1),
        ("INTERRUPTED", 1),
    ],
)
def test_failures_give_exit_code_1_and_refusals_do_not(tmp_path: Path, status: str, code: int) -> None:
    assert board_of(tmp_path, Job(ROW), Job(BLOCK, status=status, reason="why")).exit_code == code


def test_a_job_with_a_failed_repeat_is_failed(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, (2.0, 2.0)), Job(BLOCK, (1.0, 1.0))])
    alter(folder / "001-2/job.json", status="FAILED", reason="disk full")
    failed = read_leaderboard(folder).rows[-1]
    assert (failed.job, failed.status, failed.rank) == (1, "FAILED", None)
    assert failed.reason == "1 of 2 attempts FAILED: disk full"


def test_the_repeats_that_completed_count_if_another_was_cut_off(tmp_path: Path) -> None:
    folder = write_sweep(
        tmp_path / "sweep", [Job(ROW, (2.0, 2.0)), Job(BLOCK, (1.0, 1.0))], status="INTERRUPTED", planned=6
    )
    alter(folder / "001-2/job.json", status="INTERRUPTED", reason="Ctrl-C")
    board = read_leaderboard(folder)
    assert places(board) == [(1, 1), (0, 2)]
    assert "2 of 6 runs have not started." in answer(board)


def test_an_attempt_recorded_as_running_in_a_dead_sweep_was_killed(tmp_path: Path) -> None:
    folder = write_sweep(
        tmp_path / "sweep", [Job(ROW), Job(BLOCK)], status="RUNNING", heartbeat="2020-01-01T00:00:00+00:00"
    )
    alter(folder / "001/job.json", status="RUNNING", wall_seconds=None)
    board = read_leaderboard(folder)
    assert board.sweep.status == "KILLED"
    assert {row.job: row.status for row in board.rows} == {0: "COMPLETED", 1: "KILLED"}


def test_a_pruned_job_is_shown_with_its_time_on_few_scenes(tmp_path: Path) -> None:
    pruned = Job(BLOCK, (0.0,), status="PRUNED", reason="place 2 of 2 on 3 scenes", few=1.5)
    board = board_of(tmp_path, Job(ROW, few=1.0), pruned)
    assert {row.job: (row.status, row.few_seconds) for row in board.rows} == {0: ("COMPLETED", 1.0), 1: ("PRUNED", 1.5)}


def test_an_attempt_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW), Job(BLOCK)])
    (folder / "001/job.json").write_text('{"schema": 1, "status": "COMP')
    board = read_leaderboard(folder)
    assert board.exit_code == 1
    assert any("001/job.json cannot be read as JSON" in line for line in answer(board))


def test_a_sweep_without_a_completed_job_has_no_winner(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, status="FAILED", reason="no network")])
    board = write_leaderboard(folder)
    assert answer(board)[0] == "No job completed, so there is no winner."
    assert board.best is None


@pytest.mark.parametrize(
    ("altered", "problem"),
    [
        ({"schema": 7}, "has schema 7, this version reads 1"),
        ({"started": None}, r"\$\.started"),
        ({"started": "2026-11-23T14:05:09"}, r"\$\.started"),  # no zone
        ({"settings": {"objective": 5}}, r"\$\.settings\.objective"),
    ],
)
def test_a_sweep_json_that_was_altered_is_refused_with_the_place(
    tmp_path: Path, altered: dict[str, Any], problem: str
) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW)])
    alter(folder / "sweep.json", **altered)
    with pytest.raises(RecordError, match=rf"sweep/sweep\.json.*{problem}"):
        read_leaderboard(folder)


# --- plain multiruns ------------------------------------------------------------------------------------------------


def plain(folder: Path, *jobs: Job) -> Path:
    """The folder of `python -m runner -m ...`: numbered run folders without the files of a launcher."""
    folder.mkdir(parents=True)
    for number, job in enumerate(jobs):
        write_results(folder / str(number), job, job.status, job.walls[0])
    return folder


def test_a_plain_multirun_has_a_leaderboard_too(tmp_path: Path) -> None:
    jobs = [Job(ROW, (3.0,), fixed=["source.limit=3", "output.dir=x"]), Job(BLOCK, (2.0,), fixed=["source.limit=3"])]
    board = read_leaderboard(plain(tmp_path / "sweep", *jobs))
    assert places(board) == [(1, 1), (0, 2)]
    assert board.rows[0].settings == {"chunks": "block"}
    assert board.rows[0].wall_seconds == 1.5  # run.json's
    assert board.rows[0].peak_bytes == 500 * MB  # its passes'
    assert board.exit_code == 0


def test_equal_jobs_of_a_plain_multirun_are_repeats(tmp_path: Path) -> None:
    jobs = [Job(ROW, (3.0,)), Job(BLOCK, (2.0,)), Job(ROW, (3.2,))]
    board = read_leaderboard(plain(tmp_path / "sweep", *jobs))
    assert [(row.job, row.walls) for row in board.rows] == [(1, [1.5]), (0, [2.5, 2.7])]


def test_a_deleted_stage_is_a_setting_too(tmp_path: Path) -> None:
    folder = plain(tmp_path / "sweep", Job({}, fixed=["~stage@stages.temporal_mean"]), Job({}))
    assert read_leaderboard(folder).rows[0].settings in ({"stage@stages.temporal_mean": "dropped"}, {})


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_parquet_file_has_a_row_for_each_job(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", clusters())
    board = write_leaderboard(folder)
    found = duckdb.sql(f"from '{folder / 'sweep.parquet'}'").fetchall()
    names = duckdb.sql(f"describe from '{folder / 'sweep.parquet'}'").fetchall()
    rows = [dict(zip([name for name, *_ in names], row, strict=True)) for row in found]
    assert [row["job"] for row in rows] == [row.job for row in board.rows]
    assert rows[0][CLUSTERS[0]] == "threads"
    assert rows[0]["wall_seconds_each"] == pytest.approx([2.376, 2.4, 2.424])
    assert rows[0]["folders"] == ["001", "001-2", "001-3"]
    assert rows[-1]["speed_to_baseline"] == 1.0


KEYS = ("chunks.y", "chunks.time", "fetch.in_flight", "fetch.ahead", "reader", "stages.spatial_mean.cluster.n_workers",
        "stages.temporal_mean.cluster.threads_per_worker", "stages.spatial_mean.cluster.memory_limit")  # fmt: skip


@pytest.mark.parametrize("keys", [1, 2, 4, 8])
def test_the_table_fits_a_hundred_columns(tmp_path: Path, keys: int, capsys: pytest.CaptureFixture[str]) -> None:
    walls = {
        tuple("2048" if key == at else "512" for key in range(keys)): (2.0 + at, 2.0 + at) for at in range(keys + 1)
    }
    show_leaderboard(read_leaderboard(write_sweep(tmp_path / "sweep", grid(walls, *KEYS[:keys]))))
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert ("settings" in lines[0]) == (keys == 8)
    assert sum("same" in line for line in lines) == keys + 1


def test_every_swept_key_is_named_before_all_jobs_have_run(tmp_path: Path) -> None:
    first, second = ({"chunks": "row", CLUSTERS[0]: name} for name in ("threads", "sync"))
    one = board_of(tmp_path / "one", Job(first))
    two = board_of(tmp_path / "two", Job(first), Job(second, (9.0,)))
    alike = board_of(tmp_path / "alike", Job(first), Job({"chunks": "block", CLUSTERS[0]: "sync"}, (9.0,)))
    assert {board.names[0] for board in (one, two, alike)} == {"chunks=row spatial_mean.cluster=threads"}


def test_settings_in_which_only_the_baseline_differs_are_not_named(tmp_path: Path) -> None:
    base = Job({"engine": "xarray", "chunks": "notebook"}, (9.0,), baseline=True)
    board = board_of(tmp_path, base, *(Job({"engine": "block", "chunks": name}) for name in ("row", "scene")))
    assert [board.names[job] for job in (1, 2)] == ["chunks=row", "chunks=scene"]


def test_a_baseline_that_otherwise_equals_a_job_has_another_name(tmp_path: Path) -> None:
    base = Job({"engine": "xarray", "gdal": "notebook", "chunks": "row"}, (9.0,), baseline=True)
    board = board_of(tmp_path, *(Job({"chunks": name}) for name in ("row", "scene")), base)
    assert board.names == {0: "chunks=row", 1: "chunks=scene", 2: "chunks=row engine=xarray (baseline)"}
    heads, rows, settings = cells(board)
    assert settings == ["chunks", "engine"]
    assert len({tuple(row[heads.index(head)] for head in settings) for row in rows}) == len(rows)


def test_jobs_with_the_same_overrides_have_their_numbers_in_their_names(tmp_path: Path) -> None:
    assert board_of(tmp_path, Job(ROW), Job(ROW)).names == {0: "chunks=row (job 0)", 1: "chunks=row (job 1)"}


def test_a_job_with_a_killed_attempt_is_not_called_completed_and_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, (2.0, 2.0, 2.0)), Job(BLOCK, (9.0, 9.0, 9.0))])
    alter(folder / "001-3/job.json", status="RUNNING")
    show_leaderboard(read_leaderboard(folder))
    shown = capsys.readouterr().out
    assert "job 1, chunks=block: 1 of 3 attempts KILLED; the 2 that completed count" in shown
    assert "COMPLETED: " not in shown


def test_values_that_look_like_markup_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [Job({"stages.x.statistics": "[mean,count]"}), Job({"stages.x.statistics": "[red]"}, (9.0,))]
    show_leaderboard(read_leaderboard(write_sweep(tmp_path / "sweep", jobs)))
    shown = capsys.readouterr().out
    assert "[mean,count]" in shown
    assert "[red]" in shown


# --- the verb -------------------------------------------------------------------------------------------------------


def test_the_verb_shows_the_newest_sweep_and_writes_its_files(tmp_path: Path) -> None:
    day = tmp_path / "outputs/2026-11-23"
    write_sweep(day / "10-00-00_sweep", [Job(BLOCK)], started="2026-11-23T10:00:00+00:00")
    write_sweep(day / "11-00-00_sweep", [Job(ROW), Job(SCENE)], started="2026-11-23T11:00:00+00:00")
    write_run(tmp_path / "outputs/2026-11-24/10-00-00_demo")
    done = asked(tmp_path, "leaderboard", "last")
    assert done.returncode == 0, done.stderr
    assert "scene" in done.stdout
    assert sorted(path.name for path in (day / "11-00-00_sweep").iterdir() if path.is_file()) == [
        "sweep.html", "sweep.json", "sweep.parquet"]  # fmt: skip
    assert not (day / "10-00-00_sweep/sweep.html").exists()


def test_the_newest_is_the_newest_that_can_be_read(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "outputs/good", [Job(ROW), Job(BLOCK)], started="2026-11-23T10:00:00+00:00")
    for name, text in (("zz_empty", ""), ("zz_cut", '{"schema": 1, "sta'), ("zz_local", '{"started": "2026-11-24"}')):
        (tmp_path / "outputs" / name).mkdir()
        (tmp_path / "outputs" / name / "sweep.json").write_text(text)
    assert choose_sweep("last", tmp_path / "outputs") == folder
    shutil.rmtree(folder)
    with pytest.raises(RecordError, match=r"sweep\.json"):
        choose_sweep("last", tmp_path / "outputs")


def test_a_folder_with_only_the_record_of_a_job_has_a_leaderboard(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, (0.0,), status="REFUSED", reason="too large")])
    (folder / "sweep.json").unlink()
    assert (folder / "000/job.json").is_file()
    assert choose_sweep("last", tmp_path) == folder
    assert [row.status for row in write_leaderboard(folder).rows] == ["REFUSED"]


@pytest.mark.parametrize("altered", [{"order": "x"}, {"wall_seconds": float("nan")}, {"status": "DONE"}])
def test_a_record_that_was_altered_is_named_with_the_place(tmp_path: Path, altered: dict[str, Any]) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW), Job(BLOCK)])
    alter(folder / "001/job.json", **altered)
    board = write_leaderboard(folder)
    assert [row.job for row in board.rows] == [0]
    (line,) = [line for line in answer(board) if "001/job.json" in line]
    assert f"$.{next(iter(altered))}" in line
    assert "it was altered" in line


def test_json_has_every_job_and_writes_nothing(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", clusters())
    done = asked(tmp_path, "leaderboard", folder, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["best"], len(found["jobs"])) == (0, 1, 10)
    assert not (folder / "sweep.parquet").exists()


@pytest.mark.parametrize(
    ("name", "problem"), [("last", "there is no sweep"), ("nowhere", "no sweep"), (".", "is not a sweep")]
)
def test_a_name_that_is_not_a_sweeps_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    done = asked(tmp_path, "leaderboard", name)
    assert done.returncode == 2
    assert problem in done.stderr


def test_a_failed_job_gives_exit_code_1(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", trouble())
    assert asked(tmp_path, "leaderboard", folder).returncode == 1


def test_the_leaderboard_can_be_made_again_and_anywhere(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", clusters())
    write_leaderboard(folder)
    moved = Path(shutil.move(folder, tmp_path / "moved"))
    assert places(write_leaderboard(moved)) == places(read_leaderboard(moved))
