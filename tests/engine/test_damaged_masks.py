"""Damage of a mask that only its checksum tells: GDAL does not look at it, whichever engine asks GDAL."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose
from masked_scenes import mask_settings, masked_stack, write_mask, write_pair
from passes import computed

from runner.engine.second_look import confirmed
from runner.errors import ReadError
from runner.model import Stack
from runner.planning.reading import make_reading
from runner.read.gdal_reader import open_tiff
from runner.read.header import Window
from runner.settings import JobSettings

SHAPE = (64, 64)
PLACE = Window(0, 0, *SHAPE)
WAYS = pytest.mark.parametrize("way", ["reader=auto", "reader=gdal", "engine=xarray"])


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A scene, and its mask in tiles of DEFLATE."""
    write_pair(tmp_path, 1, PLACE, np.ones(SHAPE, np.float32))
    codes = np.random.default_rng(0).integers(0, 4, SHAPE, dtype=np.uint8)
    return write_mask(tmp_path, 1, PLACE, codes, compress="deflate", blockxsize=32, blockysize=32)


def job_of(mask: Path, way: str) -> tuple[JobSettings, Stack]:
    settings = mask_settings(bits=[0])
    job = replace(compose("source=local", f"source.url={mask.parent}/*_B.tif", way), mask=settings)
    return job, masked_stack(job.source, settings)


def break_checksum(path: Path) -> None:
    """Change the last byte of the second tile, and neither size nor time: its pixels stay the same to GDAL."""
    with open_tiff(str(path)) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{part}_1_0", "TIFF", bidx=1)) for part in ("OFFSET", "SIZE"))
    state, content = path.stat(), bytearray(path.read_bytes())
    content[start + size - 1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@WAYS
def test_a_damaged_mask_is_no_mask(masked: Path, way: str) -> None:
    job, stack = job_of(masked, way)
    computed(job, stack)
    break_checksum(masked)
    with pytest.raises(ReadError, match=r"_QA\.tif: a tile of tile row 0 is damaged \(deflate\)"):
        computed(job, stack)


@WAYS
def test_its_damage_is_seen_twice_and_is_its_scenes(masked: Path, way: str) -> None:
    job, stack = job_of(masked, way)
    break_checksum(masked)
    fault = confirmed(make_reading(job, stack), stack, ReadError(str(masked), "a tile is damaged"))
    assert (fault.href, "_QA.tif: a tile of tile row 0" in fault.problem) == (stack.scenes[0].href, True)
