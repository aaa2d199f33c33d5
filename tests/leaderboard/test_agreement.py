"""The agreement of a sweep's jobs: in their scenes, over repeats, and except for rounding."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scenes_on_disk import speckle, write_scene
from sweep_folders import Job, write_sweep

from runner.compare.values import relative_differences
from runner.leaderboard.answer import answer
from runner.leaderboard.board import read_leaderboard
from runner.leaderboard.show import write_leaderboard
from runner.record.run_folder import read_run

ROW, BLOCK, XARRAY = {"chunks": "row"}, {"chunks": "block"}, {"engine": "xarray"}
STAGES = {"stages": {"temporal_mean": {"over": "time", "statistics": ["mean"]}}}


def write_inputs(folder: Path, etags: Mapping[str, str]) -> None:
    """inputs.parquet of a stack of these scenes."""
    rows = [{"href": f"{name}.tif", "used": True, "size": 9, "etag": etag} for name, etag in etags.items()]
    empty = {"scene": None, "datetime": None, "reason": None, "modified": None}
    pd.DataFrame([{**row, **empty} for row in rows]).to_parquet(folder / "inputs.parquet")


def change_digest(folder: Path) -> None:
    """As if its values were others."""
    facts = json.loads((folder / "outputs.json").read_text())
    facts["files"][0]["values"][0]["sha256"] = "0" * 64
    (folder / "outputs.json").write_text(json.dumps(facts))


def verdicts(folder: Path) -> dict[int, str]:
    return {row.job: row.agreement.verdict for row in read_leaderboard(folder).rows}


# --- scenes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", ["other", "right"], ids=["other values", "by chance the same"])
def test_a_job_that_left_a_scene_out_is_reported_though_its_repeats_agree(tmp_path: Path, bits: str) -> None:
    skips = Job({"reader": "cog"}, (1.0, 1.0), bits=bits)
    folder = write_sweep(tmp_path / "sweep", [Job({"reader": "gdal"}, (2.0, 2.0)), skips])
    for name in ("000", "000-2", "001", "001-2"):
        write_inputs(folder / name, {"a": "1"} if name.startswith("001") else {"a": "1", "b": "2"})
    board = write_leaderboard(folder)
    assert (board.exit_code, board.best) == (1, None)
    assert answer(board)[0].startswith("NOT THE SAME BITS: 1 job computed other values than job 0")
    assert "job 1 (from 1 scene instead of 2" in answer(board)[0]


def test_scenes_that_changed_between_the_repeats_are_reported(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW, (2.0, 2.0)), Job(BLOCK, (1.0, 1.0))])
    for name in ("000", "000-2", "001", "001-2"):
        write_inputs(folder / name, {"a": "changed" if name.endswith("-2") else "first"})
    assert verdicts(folder) == {0: "same", 1: "same"}  # as if they were only written again, of the same values
    for name in ("000-2", "001-2"):
        change_digest(folder / name)
    board = read_leaderboard(folder)
    assert verdicts(folder) == {0: "differ", 1: "differ"}
    assert "job 0 (from one repeat to the next, from scenes that have changed, temporal_mean: mean)" in answer(board)[0]


def test_jobs_that_choose_the_same_scenes_by_other_settings_must_agree(tmp_path: Path) -> None:
    jobs = [Job({"source.limit": "2"}, more={"source.limit": 2}), Job({"source.limit": "3"}, more={"source.limit": 3})]
    folder = write_sweep(tmp_path / "sweep", jobs)
    for name in ("000", "001"):
        write_inputs(folder / name, {"a": "1", "b": "2"})
    assert verdicts(folder) == {0: "same", 1: "same"}


def test_jobs_without_a_common_statistic_do_not_agree(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job(ROW), Job(BLOCK)])
    facts = (folder / "001/outputs.json").read_text()
    (folder / "001/outputs.json").write_text(facts.replace('"mean"', '"max"'))
    assert verdicts(folder) == {0: "alone", 1: "alone"}


# --- values that may be rounded -------------------------------------------------------------------------------------


def engines(folder: Path, block: np.ndarray, xarray: np.ndarray) -> Path:
    """A sweep of the two engines, the rasters of means being these."""
    jobs = [Job({"engine": "block"}, more=STAGES), Job(XARRAY, (1.0,), engine="xarray", bits="other", more=STAGES)]
    sweep = write_sweep(folder, jobs)
    for name, pixels in (("000", block), ("001", xarray)):
        write_scene(sweep / name / "temporal_mean.tif", pixels, nodata=np.nan if pixels.dtype.kind == "f" else None)
    return sweep


def test_values_that_the_other_engine_rounds_differently_are_close(tmp_path: Path) -> None:
    pixels = speckle((300, 200), holes=0)
    folder = engines(tmp_path / "sweep", pixels, np.nextafter(pixels, np.float32(9)))
    assert verdicts(folder) == {0: "alone", 1: "close"}
    assert read_leaderboard(folder).exit_code == 0


def test_values_of_the_other_engine_that_rounding_does_not_explain_name_no_winner(tmp_path: Path) -> None:
    pixels = speckle((600, 200), holes=0)
    wrong = pixels.copy()
    wrong[550, 7] = 1.5 * pixels.max()
    board = write_leaderboard(engines(tmp_path / "sweep", pixels, wrong))
    assert (board.exit_code, board.best) == (1, None)
    assert answer(board)[0].startswith("NOT THE SAME VALUES: 1 job computed other values than job 0")
    assert "job 1 (temporal_mean: mean, by up to 0." in answer(board)[0]


def test_rounding_of_zero_is_not_a_difference(tmp_path: Path) -> None:
    pixels = speckle((300, 200), holes=0)
    pixels[5, 5], rounded = 0, pixels.copy()
    rounded[5, 5] = 1e-9  # relative to itself all of it
    assert verdicts(engines(tmp_path / "sweep", pixels, rounded)) == {0: "alone", 1: "close"}


def test_whole_numbers_must_be_equal(tmp_path: Path) -> None:
    counts = np.full((300, 200), 1_000_000, np.int32)
    fewer = counts.copy()
    fewer[0, 0] -= 1
    sweep = engines(tmp_path / "sweep", counts, fewer)
    assert list(relative_differences(read_run(sweep / "000"), read_run(sweep / "001")).values()) == [np.inf]
    assert verdicts(sweep) == {0: "alone", 1: "differ"}
