"""The records of a sweep: read back as they were written, from a folder that is kept as text."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from runner.leaderboard.board import read_leaderboard
from runner.leaderboard.records import read_job_record, read_sweep_record, write_record
from runner.leaderboard.show import show_leaderboard

GOLDEN = Path(__file__).parent / "golden_sweep"
JOBS = sorted(GOLDEN.glob("*/job.json"))


@pytest.mark.parametrize(
    ("file", "read"),
    [(GOLDEN / "sweep.json", read_sweep_record), *((file, read_job_record) for file in JOBS)],
    ids=["sweep.json", *(f"{file.parent.name}/job.json" for file in JOBS)],
)
def test_a_record_is_written_as_it_was_read(tmp_path: Path, file: Path, read: Callable[[Path], Struct | None]) -> None:
    record = read(file.parent)
    assert record is not None
    write_record(tmp_path / file.name, record)
    assert (tmp_path / file.name).read_text() == file.read_text()


def test_the_console_shows_the_leaderboard_of_that_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = Path(shutil.copytree(GOLDEN, tmp_path / "sweep"))
    show_leaderboard(read_leaderboard(sweep))
    assert capsys.readouterr().out == (GOLDEN / "leaderboard.txt").read_text()


def test_a_folder_without_records_has_none(tmp_path: Path) -> None:
    assert read_sweep_record(tmp_path) is None
    assert read_job_record(tmp_path) is None
