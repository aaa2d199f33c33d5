"""Rasters whose blocks are encoded before they are whole: the same bytes, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest

from runner.errors import OutputError
from runner.model import Grid
from runner.output.ahead import Ahead, encoding_ahead
from runner.output.block_coder import BLOCK, Coder, UnequalError
from runner.output.cog_file import PartlyEncoded
from runner.output.raster import write_raster
from runner.read.header import Window
from runner.settings import OutputSettings

HEIGHT, WIDTH = 1100, 1300
GRID = Grid("EPSG:32610", "EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), HEIGHT, WIDTH)
FLOAT32 = np.dtype(np.float32)
NOISE = np.random.default_rng(1).gamma(4, 0.03, (HEIGHT, WIDTH)).astype(np.float32)
COUNTS = np.where(NOISE > 0.01, 9, 0).astype(np.int8)
WINDOWS = [
    Window(row, column, min(300, HEIGHT - row), min(700, WIDTH - column))
    for row in range(0, HEIGHT, 300)
    for column in (0, 700)
]


def finish(ahead: Ahead, values: np.ndarray, windows: list[Window]) -> None:
    for window in windows:
        ahead.finished(values, window)


@pytest.mark.parametrize("compression", ["deflate", "zstd", "lzw"])
@pytest.mark.parametrize(("values", "stored"), [(NOISE, "float32"), (COUNTS, "int32")], ids=["floats", "counts"])
def test_a_raster_has_the_same_bytes_in_whatever_order_its_windows_are_finished(
    tmp_path: Path, compression: str, values: np.ndarray, stored: str
) -> None:
    output, final = OutputSettings(compression=compression), values.astype(stored)
    whole = write_raster(tmp_path / "a.tif", final, GRID, output, {"statistic": "x"})
    with encoding_ahead(output, FLOAT32) as ahead:
        finish(ahead, values, WINDOWS[::-1])
        blocks = ahead.blocks(values)
        parts = write_raster(
            tmp_path / "b.tif", PartlyEncoded(values, final.dtype, blocks), GRID, output, {"statistic": "x"}
        )
    assert (parts.sha256, parts.values) == (whole.sha256, whole.values)


def test_a_block_is_encoded_when_the_last_window_it_lies_in_is_finished() -> None:
    with encoding_ahead(OutputSettings(), FLOAT32) as ahead:
        finish(ahead, COUNTS, WINDOWS[:4])  # rows 0 to 600
        ahead.pool.submit(int).result()  # so that those before it have been encoded
        assert sorted(ahead.blocks(COUNTS)) == [0, 1, 2]


def test_encoded_blocks_take_no_more_than_the_largest_raster() -> None:
    others = [NOISE.copy() for _ in range(3)]
    with encoding_ahead(OutputSettings(), FLOAT32) as ahead:
        for values in others:
            finish(ahead, values, WINDOWS)
        ahead.pool.submit(int).result()
        encoded = [block.result() for values in others for block in ahead.blocks(values).values()]
    assert sum(map(len, encoded)) <= NOISE.nbytes + BLOCK * BLOCK * NOISE.itemsize


def test_nothing_is_kept_of_rasters_that_are_dropped_or_not_compressed() -> None:
    with encoding_ahead(OutputSettings(), FLOAT32) as ahead:
        finish(ahead, NOISE, WINDOWS)
        ahead.drop()
        assert not ahead.blocks(NOISE)
    with encoding_ahead(OutputSettings(compression="none"), FLOAT32) as ahead:
        finish(ahead, NOISE, WINDOWS)
        assert not ahead.blocks(NOISE)


def test_a_block_that_is_decoded_otherwise_is_refused() -> None:
    coder = Coder.of("deflate", 1, FLOAT32, None)
    wrong = Coder(FLOAT32, None, lambda block: coder.encode(block + 1), coder.decode)
    with pytest.raises(UnequalError, match="differs when it is decoded again"):
        wrong.encoded(NOISE[:BLOCK, :BLOCK])


def test_blocks_of_one_value_are_encoded_once() -> None:
    coder, encoded = Coder.of("deflate", 1, np.dtype(np.int32), 0), []
    counting = Coder(coder.dtype, 0, lambda block: encoded.append(1) or coder.encode(block), coder.decode)
    block = np.full((BLOCK, BLOCK), 7, np.int32)
    assert counting.encoded(block) == counting.encoded(block.copy()) == coder.encode(block)
    assert len(encoded) == 1
    assert counting.encoded(block[:100]) == coder.encoded(block[:100])


def test_a_raster_that_is_read_back_otherwise_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.pread", lambda file, length, at: bytes(length))
    with pytest.raises(OutputError, match=r"x.tif: read back, bytes 0 to \d+ differ; check the disk"):
        write_raster(tmp_path / "x.tif", NOISE, GRID, OutputSettings(), {})
    assert not list(tmp_path.iterdir())
