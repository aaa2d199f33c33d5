"""The fast reader: its pixels against rasterio's, its requests, and what it makes of servers that fail."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import rasterio
from affine import Affine
from faulty_server import FaultyServer, always, faulty_server, first
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, ObjectStore
from waiting import LONG

from runner.errors import ReadError
from runner.read import fast_reader, gdal_reader
from runner.read.background import background_loop
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions
from runner.read.fetch_ahead import fetch_ahead
from runner.read.header import SceneFile, ScenePixels, Window, read_header
from runner.read.spans import Span, plan_spans
from runner.read.store_errors import ChangedError, DeniedError, MissingError, StoreError
from runner.settings import S3Settings
from runner.source.stores import Stores

GRID: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32610", "transform": Affine(20, 0, 499980, 0, -20, 4200000)}
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "deflate", "predictor": 3}
QUICK = FetchOptions(backoff_seconds=0.001, timeout_seconds=LONG)


def write(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """A GeoTIFF of `pixels` (bands, rows, columns)."""
    count, height, width = pixels.shape
    profile = {**GRID, "count": count, "height": height, "width": width, "dtype": pixels.dtype.name, **options}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return path


def scene_of(path: Path, store: ObjectStore | None = None) -> SceneFile:
    """The file as a scene of a local store, or of `store`, which serves its folder."""
    content = path.read_bytes()
    header = read_header(lambda start, stop: content[start:stop], len(content), path.name)
    store = LocalStore(path.parent) if store is None else store
    return SceneFile(f"s3://b/{path.name}", store, path.name, obstore.head(store, path.name)["e_tag"], header)


def assemble(tiles: Iterator[ScenePixels], scenes: list[SceneFile], window: Window) -> np.ndarray:
    """All tiles in one array (scenes, rows, columns); each pixel must come once."""
    pixels = np.zeros((len(scenes), window.height, window.width), scenes[0].header.dtype)
    seen = np.zeros(pixels.shape, int)
    for tile in tiles:
        rows, columns = tile.pixels.shape
        place = (tile.scene, slice(tile.row, tile.row + rows), slice(tile.column, tile.column + columns))
        assert tile.pixels.dtype == pixels.dtype
        pixels[place] = tile.pixels
        seen[place] += 1
    assert (seen == 1).all()
    return pixels


def whole(scene: SceneFile) -> Window:
    return Window(0, 0, *scene.header.shape)


def read(scenes: list[SceneFile], options: FetchOptions = QUICK, counts: FetchCounts | None = None) -> np.ndarray:
    """All of band 1."""
    window = whole(scenes[0])
    with closing(fast_reader.read_scenes(scenes, window, 1, options, counts or FetchCounts())) as tiles:
        return assemble(tiles, scenes, window)


# --- pixels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raster:
    """A file to be written and a window to be read."""

    shape: tuple[int, int]
    dtype: str
    count: int
    band: int
    options: dict[str, Any]
    window: Window
    limits: FetchOptions
    seed: int


@st.composite
def rasters(draw: st.DrawFn) -> Raster:
    height, width = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    dtype = draw(
        st.sampled_from(
            ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
        )
    )
    compress = draw(st.sampled_from(["none", "deflate", "lzw", "zstd", "packbits"]))
    predictors = [1, 2, 3] if dtype.startswith("float") else [1, 2]
    side = st.sampled_from([16, 32, 48, 128])
    tiled = {"tiled": True, "blockxsize": draw(side), "blockysize": draw(side)}
    options = {
        "compress": compress,
        "predictor": draw(st.sampled_from(predictors)) if compress in ("deflate", "lzw", "zstd") else 1,
        "endianness": draw(st.sampled_from(["little", "big"])),
        "interleave": draw(st.sampled_from(["band", "pixel"])),
        "bigtiff": draw(st.sampled_from(["yes", "no"])),
        "sparse_ok": draw(st.booleans()),
        "nodata": draw(st.sampled_from([None, 0, 7])),
        **(tiled if draw(st.booleans()) else {"blockysize": draw(st.integers(1, height))}),
    }
    row, column = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    window = Window(row, column, draw(st.integers(1, height - row)), draw(st.integers(1, width - column)))
    size = st.sampled_from([1, 500, 5000, 10**6])
    limits = FetchOptions(
        in_flight=draw(st.integers(1, 4)), ahead_bytes=draw(size), max_range_bytes=draw(size),
        min_range_bytes=draw(size), max_gap_bytes=draw(st.sampled_from([0, 8, 10**6])),
    )  # fmt: skip
    count = draw(st.integers(1, 3))
    return Raster(
        (height, width), dtype, count, draw(st.integers(1, count)), options, window, limits, draw(st.integers(0, 99))
    )


@given(rasters())
def test_fast_reader_gdal_reader_and_rasterio_agree(tmp_path_factory: pytest.TempPathFactory, raster: Raster) -> None:
    rng = np.random.default_rng(raster.seed)
    pixels = rng.integers(0, 100, (raster.count, *raster.shape)).astype(raster.dtype)
    pixels[:, rng.random(raster.shape) < rng.choice([0, 0.5, 1])] = 0
    path = write(tmp_path_factory.getbasetemp() / "any.tif", pixels, **raster.options)
    scenes = [scene_of(path)] * 2
    with rasterio.open(path) as dataset:
        row, column, height, width = raster.window
        expected = dataset.read(raster.band, window=rasterio.windows.Window(column, row, width, height))
    fast = fast_reader.read_scenes(scenes, raster.window, raster.band, raster.limits, FetchCounts())
    slow = gdal_reader.read_scenes(scenes, raster.window, raster.band, lambda scene: str(path))
    for tiles in (fast, slow):
        for got in assemble(tiles, scenes, raster.window):
            np.testing.assert_array_equal(got, expected)


def speckle(shape: tuple[int, ...] = (300, 400), seed: int = 1) -> np.ndarray:
    """Pixels as of a radar scene, with nodata in a corner."""
    pixels = np.random.default_rng(seed).gamma(1, 0.1, (1, *shape)).astype("float32")
    pixels[:, :90, :150] = 0
    return pixels


@pytest.fixture
def scenes(tmp_path: Path) -> list[SceneFile]:
    return [
        scene_of(write(tmp_path / f"{i}.tif", speckle(seed=i), driver="COG", blocksize=64, **COG)) for i in range(4)
    ]


COG: dict[str, Any] = {"compress": "deflate", "predictor": 3}


def expected_pixels() -> np.ndarray:
    return np.stack([speckle(seed=i)[0] for i in range(4)])


def test_a_few_scenes_take_turns_tile_by_tile(scenes: list[SceneFile]) -> None:
    options = replace(QUICK, scenes_together=2)
    tiles = fast_reader.read_scenes(scenes, Window(70, 70, 100, 100), 1, options, FetchCounts())
    places = [(tile.scene, tile.row, tile.column) for tile in tiles]
    assert places == [
        (scene, row, column) for some in ((0, 1), (2, 3)) for row in (0, 58) for column in (0, 58) for scene in some
    ]


@pytest.mark.parametrize(
    "window", [Window(0, 0, 0, 5), Window(-1, 0, 5, 5), Window(0, 0, 301, 5), Window(0, 396, 5, 5), Window(0, 0, 5, -5)]
)
def test_a_window_outside_the_image_is_refused(scenes: list[SceneFile], window: Window) -> None:
    with pytest.raises(ReadError, match="is not inside its 300 rows and 400 columns"):
        next(fast_reader.read_scenes(scenes, window, 1, QUICK, FetchCounts()))


def test_a_file_for_gdal_is_refused(tmp_path: Path) -> None:
    scene = scene_of(write(tmp_path / "a.tif", np.ones((1, 64, 64), "uint8"), compress="jpeg"))
    with pytest.raises(ReadError, match=r"s3://b/a\.tif: the fast reader does not take compression jpeg"):
        next(fast_reader.read_scenes([scene], whole(scene), 1, QUICK, FetchCounts()))


# --- requests ---------------------------------------------------------------------------------------------------


def spans_of(scene: SceneFile, window: Window | None = None, **limits: int) -> list[Span]:
    return plan_spans(scene.header.layout, window or whole(scene), 1, replace(FetchOptions(), **limits))


def test_tiles_of_a_tile_row_are_one_request(scenes: list[SceneFile]) -> None:
    spans = spans_of(scenes[0], min_range_bytes=1)
    assert [{place.row for place in span.tiles} for span in spans] == [{row} for row in range(5)]
    stored = int(scenes[0].header.layout.byte_counts.sum())
    assert stored <= sum(span.stop - span.start for span in spans) <= stored + 8 * 35  # GDAL's 4 bytes around each tile


def test_small_tile_rows_share_a_request(scenes: list[SceneFile]) -> None:
    assert len(spans_of(scenes[0])) == 1


def test_no_request_exceeds_the_limit_by_more_than_a_tile(scenes: list[SceneFile]) -> None:
    limit = 3 * int(scenes[0].header.layout.byte_counts.max())
    spans = spans_of(scenes[0], max_range_bytes=limit)
    assert len(spans) > 5
    assert max(span.stop - span.start for span in spans) <= limit


def test_a_narrow_window_fetches_its_columns_only(scenes: list[SceneFile]) -> None:
    spans = spans_of(scenes[0], Window(0, 64, 300, 64), max_gap_bytes=0)
    needed = int(scenes[0].header.layout.byte_counts[0, :, 1].sum())
    assert (len(spans), sum(span.stop - span.start for span in spans)) == (5, needed)


def test_sparse_tiles_cost_no_request(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((1, 128, 128), "float32"), sparse_ok=True, nodata=0, **TILED)
    counts = FetchCounts()
    assert not read([scene_of(path)], counts=counts).any()
    assert counts == FetchCounts(requests=0, bytes=0, retries=0)


def test_counts_are_those_of_the_plan(scenes: list[SceneFile]) -> None:
    counts = FetchCounts()
    options = replace(QUICK, min_range_bytes=1)
    np.testing.assert_array_equal(read(scenes, options, counts), expected_pixels())
    spans = [span for scene in scenes for span in spans_of(scene, min_range_bytes=1)]
    assert counts == FetchCounts(len(spans), sum(span.stop - span.start for span in spans), 0)


# --- servers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[FaultyServer, list[SceneFile]]]:
    (tmp_path / "b").mkdir()
    paths = [write(tmp_path / "b" / f"{i}.tif", speckle(seed=i), **TILED) for i in range(4)]
    with faulty_server(tmp_path) as server:
        store = Stores(S3Settings(server.endpoint, anonymous=True)).s3_store("b")
        yield server, [scene_of(path, store) for path in paths]


FEW = replace(QUICK, min_range_bytes=1)  # a request for each of the ten tile rows of a scene


@pytest.mark.parametrize(
    "fault", ["500", "503", "429", "reset", "short", "cut", pytest.param("silent", marks=pytest.mark.slow)]
)
def test_passing_faults_are_retried_and_counted(served: tuple[FaultyServer, list[SceneFile]], fault: str) -> None:
    server, scenes = served
    server.script = first(3, fault)
    counts = FetchCounts()
    seconds = 5 if fault == "silent" else LONG  # a busy machine answers late
    np.testing.assert_array_equal(read(scenes, replace(FEW, timeout_seconds=seconds), counts), expected_pixels())
    assert (counts.requests, counts.retries) == (43, 3)
    assert server.requests == 43


@pytest.mark.parametrize(
    ("fault", "kind", "words", "requests"),
    [
        ("404", MissingError, "was deleted after it was listed", 1),
        ("412", ChangedError, "changed during the run", 2),  # the second without a precondition
        ("403", DeniedError, "access denied to bytes", 1),
        ("401", DeniedError, "requester_pays", 1),
        ("400", StoreError, "status 400", 1),
        ("whole", StoreError, "ignores Range requests", 1),
    ],
)
def test_lasting_faults_fail_at_once(
    served: tuple[FaultyServer, list[SceneFile]], fault: str, kind: type[ReadError], words: str, requests: int
) -> None:
    server, scenes = served
    server.script = always(fault)
    with pytest.raises(ReadError, match=re.escape(words)) as caught:
        read(scenes, replace(FEW, in_flight=1))
    assert type(caught.value) is kind
    assert caught.value.href == "s3://b/0.tif"
    assert server.requests == requests


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("503", "throttles"),
        ("500", "status 500"),
        ("short", "the body ends early"),
        pytest.param("silent", "no answer within fetch.timeout", marks=pytest.mark.slow),
        ("reset", "the connection fails"),
    ],
)
def test_faults_that_do_not_pass_fail_after_the_stated_attempts(
    served: tuple[FaultyServer, list[SceneFile]], fault: str, words: str
) -> None:
    server, scenes = served
    server.script = always(fault)
    with pytest.raises(ReadError, match=f"unread after 3 attempts: .*{words}") as caught:
        read(scenes, replace(FEW, in_flight=1, attempts=3, timeout_seconds=2 if fault == "silent" else LONG))
    assert server.requests == 3
    assert server.endpoint not in str(caught.value)  # a signed URL is a secret


def test_a_replaced_object_is_not_read(served: tuple[FaultyServer, list[SceneFile]]) -> None:
    stale = [replace(scene, etag='"v0"') for scene in served[1]]
    with pytest.raises(ChangedError, match=r"s3://b/0\.tif"):
        read(stale)


def test_a_replaced_local_file_is_not_read(tmp_path: Path) -> None:
    scene = scene_of(write(tmp_path / "a.tif", speckle(), **TILED))
    write(tmp_path / "a.tif", speckle(seed=9), **TILED)
    with pytest.raises(ChangedError):
        read([scene])


def test_a_truncated_local_file_fails_without_retries(tmp_path: Path) -> None:
    scene = replace(scene_of(write(tmp_path / "a.tif", speckle(), **TILED)), etag=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    counts = FetchCounts()
    with pytest.raises(ReadError, match="truncated|ends before them; upload it again"):
        read([scene], counts=counts)
    assert counts.retries == 0


@pytest.mark.parametrize(
    ("compress", "all_found"),
    [("deflate", True), ("lerc", True), ("zstd", False), ("lzw", False), ("packbits", False), ("none", False)],
)
def test_flipped_bits_are_found_where_the_compression_has_a_checksum(
    tmp_path: Path, compress: str, all_found: bool
) -> None:
    pixels = np.random.default_rng(1).gamma(1, 0.1, (1, 64, 64)).astype("float32")
    path = write(tmp_path / "a.tif", pixels, blockxsize=64, blockysize=64, tiled=True, compress=compress)
    content, scene = path.read_bytes(), replace(scene_of(path), etag=None)
    start, length = (int(array.flat[0]) for array in (scene.header.layout.offsets, scene.header.layout.byte_counts))
    found = 0
    for place in np.random.default_rng(1).integers(0, 8 * length, 100).tolist():
        flipped = bytearray(content)
        flipped[start + place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with suppress(ReadError):
            read([scene])
            continue
        found += 1
    assert found == 100 if all_found else found < 50


def test_latency_is_hidden_by_requests_in_flight(served: tuple[FaultyServer, list[SceneFile]]) -> None:
    server, scenes = served
    server.gather = 8  # one request after the other would wait for good
    np.testing.assert_array_equal(read(scenes, replace(FEW, in_flight=8)), expected_pixels())
    assert server.most_at_once == 8


def test_no_more_bytes_than_stated_are_fetched_ahead(served: tuple[FaultyServer, list[SceneFile]]) -> None:
    server, scenes = served
    span = max(span.stop - span.start for span in spans_of(scenes[0], min_range_bytes=1))
    with closing(
        fast_reader.read_scenes(
            scenes, whole(scenes[0]), 1, replace(FEW, ahead_bytes=span, scenes_together=1), FetchCounts()
        )
    ) as tiles:
        next(tiles)
        time.sleep(0.1)
        assert server.requests <= 4


def test_closing_cancels_what_is_under_way(served: tuple[FaultyServer, list[SceneFile]]) -> None:
    server, scenes = served
    tiles = fast_reader.read_scenes(scenes, whole(scenes[0]), 1, replace(FEW, timeout_seconds=6000), FetchCounts())
    next(tiles)
    server.script = always("silent")
    for _ in range(7):  # to the end of the first tile row, when the next requests are sent
        next(tiles)
    tiles.close()  # at once, not after fetch.timeout
    assert "fetch" not in {thread.name for thread in threading.enumerate()}


def test_many_threads_read_at_once(served: tuple[FaultyServer, list[SceneFile]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: read(served[1], FEW), range(4)):
            np.testing.assert_array_equal(got, expected_pixels())


def test_an_error_in_the_plan_of_requests_reaches_the_reader() -> None:
    def wanted() -> Iterator[tuple[int, ByteRange]]:
        yield 1, ByteRange("a", LocalStore(), "a", None, 0, 0, FetchCounts())
        raise ReadError("b", "no such thing")

    with pytest.raises(ReadError, match="b: no such thing"):
        list(fetch_ahead(wanted(), QUICK))


def test_an_answer_that_comes_when_nobody_waits_any_more_is_dropped() -> None:
    answered: list[int] = []
    with background_loop() as loop:
        pass
    assert loop.is_closed()
    loop.call_soon_threadsafe(answered.append, 1)
    assert not answered
