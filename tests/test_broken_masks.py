"""Masks in files of their own that cannot be read: a run stops by them, or goes on without their scenes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_records import hashes
from scenes_on_disk import speckle, write_scene

import runner
from runner.errors import RunnerError

SHAPE, BLOCK = (96, 64), {"blockxsize": 32, "blockysize": 32}
DAYS = (1, 2, 3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for day in DAYS:
        write_scene(tmp_path / f"data/202001{day:02}_B.tif", speckle(SHAPE, day), **BLOCK)
        flags = np.random.default_rng(day).integers(0, 2, SHAPE, np.uint8)
        write_scene(tmp_path / f"data/202001{day:02}_Q.tif", flags, nodata=None, **BLOCK)
    return tmp_path / "data"


def run(data: Path, folder: Path, *words: str) -> Path:
    source = ["source=local", f"source.url={data}/*_B.tif", "mask.href.replace=[_B,_Q]", "mask.bits=[0]"]
    runner.run([*source, *words, f"output.dir={folder}"])
    return folder


def cut(mask: Path) -> None:
    mask.write_bytes(mask.read_bytes()[: mask.stat().st_size // 2])


def empty(mask: Path) -> None:
    mask.write_bytes(b"")


def damage(mask: Path) -> None:
    """Its header is whole, and a tile is not."""
    content = bytearray(mask.read_bytes())
    content[-200:-100] = 100 * b"\xff"
    mask.write_bytes(content)


def elsewhere(mask: Path) -> None:
    write_scene(mask, np.zeros((32, 32), np.uint8), nodata=None, blockxsize=32, blockysize=32)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [cut, empty, damage, elsewhere])
def test_a_broken_mask_is_a_broken_scene(data: Path, tmp_path: Path, fault: Callable[[Path], None]) -> None:
    expected = run(data, tmp_path / "without", "source.exclude=['*20200102*']")
    fault(data / "20200102_Q.tif")
    with pytest.raises(RunnerError, match=r"20200102_B\.tif: its mask .*"):
        run(data, tmp_path / "stopped", "mask.on_missing=skip")  # which is for masks that are not there
    skipped = run(data, tmp_path / "skipped", "on_error=skip")
    assert hashes(skipped) == hashes(expected)
    left_out = pd.read_parquet(skipped / "inputs.parquet").set_index("scene").loc["20200102_B"]
    assert left_out["skipped"]
    assert "its mask" in left_out["reason"]
    with pytest.raises(RunnerError, match="max_skipped=0"):
        run(data, tmp_path / "limited", "on_error=skip", "max_skipped=0")


def test_a_mask_that_is_not_there_is_left_to_its_own_setting(data: Path, tmp_path: Path) -> None:
    (data / "20200102_Q.tif").unlink()
    with pytest.raises(RunnerError, match=r"20200102_Q.tif does not exist; leave such scenes out with mask.on_missing"):
        run(data, tmp_path / "stopped", "on_error=skip")
    expected = run(data, tmp_path / "without", "source.exclude=['*20200102*']")
    assert hashes(run(data, tmp_path / "skipped", "mask.on_missing=skip")) == hashes(expected)
