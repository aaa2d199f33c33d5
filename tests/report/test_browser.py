"""The report in a real browser, where there is one: it fits every width, and no label lies on another."""

from dataclasses import replace
from pathlib import Path

import pytest
from browser import measured
from marks import few_quick
from run_folders import LARGE, SMALL, Shape, make_run_folder

from runner.report.page import write_report


@pytest.mark.parametrize(
    ("shape", "status"),
    few_quick(
        [
            (SMALL, "COMPLETED"),
            (replace(SMALL, fused=False, processes=3), "FAILED"),
            (replace(SMALL, scenes=12), "COMPLETED"),
            (SMALL, "KILLED"),
            (replace(SMALL, scenes=1, left_out=0, parts=1), "COMPLETED"),
            (replace(LARGE, height=200, width=640), "COMPLETED"),
        ],
        2,
    ),
    ids=["completed", "failed in the second pass", "a label at the end", "killed", "one scene", "large"],
)
def test_it_fits_every_width_and_no_label_lies_on_another(tmp_path: Path, shape: Shape, status: str) -> None:
    report = write_report(make_run_folder(tmp_path / "run", shape, status))
    for one in measured(report, tmp_path):
        told = {name: one[name] for name in ("overflow", "overlapping", "outside", "cut")}
        assert told == {"overflow": 0, "overlapping": [], "outside": [], "cut": []}, one["width"]
        assert not one["scrolled"] or one["width"] < 1200, one["width"]
        assert all(one["pictures"])
        assert all(one["heights"])
        assert bool(one["labels"]) == (status != "KILLED")


def test_on_a_laptop_the_names_of_scenes_stay_on_one_line(tmp_path: Path) -> None:
    report = write_report(make_run_folder(tmp_path / "run", replace(SMALL, parts=SMALL.scenes)))
    report.write_text(report.read_text("utf-8").replace("_10TET_ASC", "_10TET_ASC_VV"), "utf-8")
    assert "_10TET_ASC_VV" in report.read_text("utf-8")
    assert measured(report, tmp_path)[-1]["broken"] == []
