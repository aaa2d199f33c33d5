"""Arrays on disk: slices are numpy's, and nothing stays behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import OutputError
from runner.host.spool import BLOCK, Spool, refuse_small_disk

DTYPES = ["int8", "int16", "float32", "float64"]


@st.composite
def _part(draw: st.DrawFn, size: int) -> slice:
    start = draw(st.integers(0, size - 1))
    return slice(start, draw(st.integers(start + 1, size)))


@settings(max_examples=30)
@given(st.data(), st.integers(1, 2 * BLOCK), st.integers(1, 2 * BLOCK), st.sampled_from(DTYPES))
def test_windows_are_written_and_read_as_those_of_an_array(
    data: st.DataObject, height: int, width: int, dtype: str
) -> None:
    random, array = np.random.default_rng(height), np.zeros((height, width), dtype)
    spool = Spool(Path("/tmp"), array.shape, array.dtype)
    spool[:] = array[:] = 7
    for _ in range(4):
        window = data.draw(_part(height)), data.draw(_part(width))
        values = random.integers(-99, 99, array[window].shape)
        spool[window] = array[window] = values
    window = data.draw(_part(height)), data.draw(_part(width))
    np.testing.assert_array_equal(spool[window], array[window])
    np.testing.assert_array_equal(spool[window[0]], array[window[0]])
    assert (len(spool), spool.shape, spool.size, spool[:].dtype) == (height, array.shape, array.size, dtype)


def test_values_are_cast_as_numpy_casts_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path, (3, 5), np.dtype("float32"))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        spool[:, 1:3] = np.full((3, 2), 1e300)
    spool[:] = np.full((3, 5), 0.1)
    assert (spool[:] == np.float32(0.1)).all()


def test_a_folder_shows_no_file_of_it_and_gets_its_disk_back(tmp_path: Path) -> None:
    before = open_files()
    spool = Spool(tmp_path, (BLOCK, BLOCK), np.dtype("float32"))
    smaller = spool.like((10, 10))
    assert not list(tmp_path.iterdir())
    assert open_files() == before + 2
    del spool, smaller
    assert open_files() == before


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; import numpy as np; from runner.host.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), (5000, 5000), np.dtype('float32'))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the rasters need 1000000\.0 GB .* GB are free; free some space"):
        refuse_small_disk(tmp_path, 10**15)
    with pytest.raises(OutputError, match="cannot be kept on disk until they are written: .*; free some space"):
        Spool(tmp_path, (2**22, 2**22), np.dtype("float64"))
    assert not list(tmp_path.iterdir())
