"""The file of a task is read back as it was written, and refused if a byte of it is not."""

from pathlib import Path

import numpy as np
import pytest

from runner.checkpoint.array_file import MAGIC, TornFileError, read_arrays, read_header, write_arrays
from runner.checkpoint.task_file import read_task

HEADER = {"name": "a", "numbers": [1, 2]}


@pytest.mark.parametrize("cells", [0, 1, 2**15 - 8, 2**15, 300_000])
def test_arrays_of_any_size_are_read_back_the_same(tmp_path: Path, cells: int) -> None:
    arrays = {"first": np.arange(cells, dtype="f8"), "one": np.array(7), "last": np.arange(cells, dtype="u1")}
    size = write_arrays(tmp_path / "a.task", HEADER, arrays)
    found = read_arrays(tmp_path / "a.task")
    assert size == (tmp_path / "a.task").stat().st_size
    assert HEADER.items() <= read_header(tmp_path / "a.task").items()
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()
    }


def _whole(tmp_path: Path) -> bytes:
    write_arrays(tmp_path / "whole.task", HEADER, {"a": np.arange(40, dtype="u1"), "b": np.ones(3)})
    return (tmp_path / "whole.task").read_bytes()


def _refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (read_header, read_arrays):
        with pytest.raises(TornFileError, match=path.name):
            read(path)
    assert read_task(path) is None


def test_a_file_is_refused_that_ends_early_or_late(tmp_path: Path) -> None:
    whole = _whole(tmp_path)
    for size in range(len(whole)):
        _refused(tmp_path / "torn.task", whole[:size])
    _refused(tmp_path / "long.task", whole + b"\0")


def test_a_file_is_refused_of_which_any_byte_was_changed(tmp_path: Path) -> None:
    whole = _whole(tmp_path)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        _refused(tmp_path / "changed.task", bytes(changed))


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", header=np.arange(3), data=np.arange(3))
    for content in ((tmp_path / "a.npz").read_bytes(), b"{}", bytes(1000), MAGIC[:-1] + b"5" + _whole(tmp_path)[8:]):
        _refused(tmp_path / "foreign.task", content)


def test_a_file_of_other_facts_is_no_task(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.task", HEADER, {})
    assert read_task(tmp_path / "a.task") is None
