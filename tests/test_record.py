"""`run.json` is true from the first second to the last."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.errors import Interrupted, OutputError, SourceError
from runner.log.record import recorded_run


def read(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return facts


def test_a_run_is_running_until_it_is_completed(tmp_path: Path) -> None:
    with recorded_run(tmp_path / "run", {"a": 1}, ["python"], ["a=1"]) as record:
        during = read(tmp_path / "run")
        record.update(scenes=3)
    after = read(tmp_path / "run")
    assert (during["status"], during["config"], during["overrides"]) == ("RUNNING", {"a": 1}, ["a=1"])
    assert (after["status"], after["exit_code"], after["scenes"]) == ("COMPLETED", 0, 3)
    assert {"numpy", "rasterio", "dask"} <= set(after["versions"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SourceError("gone"), "FAILED", 1),
        (RuntimeError("odd"), "FAILED", 1),
        (Interrupted(2), "INTERRUPTED", 130),
        (Interrupted(15), "INTERRUPTED", 143),
        (KeyboardInterrupt(), "INTERRUPTED", 130),
    ],
)
def test_the_way_out_is_recorded(tmp_path: Path, error: BaseException, status: str, code: int) -> None:
    with pytest.raises(type(error)), recorded_run(tmp_path, {}, [], []):
        raise error
    assert (read(tmp_path)["status"], read(tmp_path)["exit_code"]) == (status, code)


def test_a_failure_is_in_the_log_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(SourceError), recorded_run(tmp_path, {}, [], []):
        raise SourceError("the bucket is gone")
    assert "Traceback" in (tmp_path / "run.log").read_text()
    assert read(tmp_path)["error"] == "SourceError: the bucket is gone"


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    with recorded_run(tmp_path, {}, [], []):
        pass
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(OutputError, match="holds a run already"), recorded_run(tmp_path, {}, [], []):
        pytest.fail("the second run started")
    assert (tmp_path / "run.json").read_text() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run.*set output.dir"), recorded_run(tmp_path / "file/run", {}, [], []):
        pytest.fail("the run started")
