"""The table of an archive's stacks, read back as it was written."""

from pathlib import Path

import pytest

from runner.errors import RecordError
from runner.record.stacks import STACKS, StackRow, read_stacks, write_stacks

ROWS = [
    StackRow(stack="10TET_none", values={"tile": "10TET", "band": None}),
    StackRow(
        stack="10TET_VV", values={"tile": "10TET", "band": "VV"}, status="COMPLETED", scenes=3, left_out=1,
        crs="EPSG:32610", height=64, width=80, west=-123.5, south=47.0, east=-122.5, north=48.0, dtype="float32",
        nodata=0.0, bytes=4711, seconds=1.5, worker="host:7", error=None,
    ),
    StackRow(stack="10TFT_VV", values={"tile": "10TFT", "band": "VV"}, status="FAILED", error="x.tif: truncated"),
]  # fmt: skip


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_stacks(tmp_path, ["tile", "band"], ROWS)
    assert list(read_stacks(tmp_path)) == ROWS


def test_a_group_may_have_the_name_of_a_column(tmp_path: Path) -> None:
    row = StackRow(stack="VV", values={"dtype": "VV", "status": "x"}, dtype="float32")
    write_stacks(tmp_path, ["dtype", "status"], [row])
    assert read_stacks(tmp_path) == (row,)


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), (b"PAR1", "cannot be read")])
def test_a_table_that_is_missing_or_damaged_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content:
        (tmp_path / STACKS).write_bytes(content)
    with pytest.raises(RecordError, match=f"stacks.parquet {message}"):
        read_stacks(tmp_path)
