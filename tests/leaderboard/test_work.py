"""Sweeps with jobs that cannot be compared have no winner, and a reason that jobs share is shown once."""

from pathlib import Path
from typing import Any

import pytest
from report_page import Page
from sweep_folders import BLOCK, ROW, Job, board_of, places, write_sweep

from runner.leaderboard.answer import answer, reasons_once
from runner.leaderboard.show import write_leaderboard

# --- different work ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([{"source.limit": 5}, {"source.limit": 50}], "source.limit (5, 50)"),
        ([{"source.url": "/a/*.tif"}, {"source.url": "/b/*.tif"}], "source.url (/a/*.tif, /b/*.tif)"),
        ([{"source.start": "2020-01-01"}, {"source.start": "2021-01-01"}], "source.start"),
        ([{"source.band": 1}, {"source.band": 2}], "source.band (1, 2)"),
        ([{"mask.own": "nodata"}, {"mask.own": "none"}], "mask.own (nodata, none)"),
        ([{"zones.pixels": "center"}, {"zones.pixels": "fraction"}], "zones.pixels (center, fraction)"),
        ([{"source.min_valid_fraction": 0.1}, {"source.min_valid_fraction": 0.5}], "min_valid_fraction (0.1, 0.5)"),
        ([{"source.max_cloud": 20}, {"source.max_cloud": 80}], "source.max_cloud (20, 80)"),
    ],
)
def test_jobs_that_did_different_work_have_no_winner_and_no_best(
    tmp_path: Path, more: list[dict[str, Any]], said: str
) -> None:
    jobs = [Job({"chunks": str(at)}, (9.0 - at,), more=one, bits=str(at)) for at, one in enumerate(more)]
    board = write_leaderboard(write_sweep(tmp_path / "sweep", jobs))
    assert board.best is None
    assert not (tmp_path / "sweep/experiment/best.yaml").exists()
    assert places(board) == [(0, None), (1, None)]
    first = answer(board)[0]
    assert first.startswith("No winner, and no best.yaml: the jobs did not do the same work")
    assert said in first
    assert board.exit_code == 0
    page = Page(tmp_path / "sweep/sweep.html")
    assert page.one("p.answer").text == first
    assert page.one("span.status").text == "COMPLETED, no winner"
    assert "fastest" not in [label.text for label in page.all("div.label")]
    assert len(page.all("div.labelled path.dot")) == 2  # measured all the same


def test_other_work_that_did_not_complete_leaves_the_winner(tmp_path: Path) -> None:
    jobs = [Job(ROW), Job(BLOCK, more={"source.limit": 5}, status="FAILED", reason="gone")]
    board = board_of(tmp_path, *jobs)
    assert board.best is not None
    assert board.unlike == ()


def test_settings_that_do_not_change_values_are_the_same_work(tmp_path: Path) -> None:
    jobs = [Job(ROW, more={"fetch.in_flight": 4}), Job(BLOCK, more={"fetch.in_flight": 8})]
    assert board_of(tmp_path, *jobs).unlike == ()


# --- reasons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (["too large", "too large"], ["jobs 1, 2: too large"]),
        (
            ["needs 492 MiB", "needs 500 MiB"],
            ["jobs 1, 2, for the same reason with other numbers; job 1: needs 492 MiB"],
        ),
        (["too large", "no such option"], ["too large", "no such option"]),
    ],
)  # fmt: skip
def test_a_reason_that_several_jobs_share_is_shown_once(tmp_path: Path, reasons: list[str], said: list[str]) -> None:
    refused = [Job({"chunks": why + str(at)}, status="REFUSED", reason=why) for at, why in enumerate(reasons)]
    board = write_leaderboard(write_sweep(tmp_path / "sweep", [Job(ROW), *refused]))
    assert [reason for _, reason in reasons_once(board.rows)] == said
    page = Page(tmp_path / "sweep/sweep.html")
    assert [row[2] for row in page.rows("table.board") if len(row) == 3] == said


def test_a_sweep_with_refused_jobs_is_not_green(tmp_path: Path) -> None:
    jobs = [Job(ROW), Job(BLOCK, status="REFUSED", reason="too large")]
    board = write_leaderboard(write_sweep(tmp_path / "sweep", jobs))
    page = Page(tmp_path / "sweep/sweep.html")
    assert page.one("body").attributes["class"] == "partly"
    assert page.one("span.status").text == "COMPLETED, 1 of 2 refused"
    assert "1 of 2 jobs completed; 1 refused." in answer(board)
    assert board.exit_code == 0
