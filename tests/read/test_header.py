"""Headers against rasterio's reading of the same files, and the ways to fetch them."""

import asyncio
import math
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

from runner.errors import ReadError
from runner.read import georeference
from runner.read.header import (
    HEADER_BYTES,
    Header,
    NeedBytes,
    SparseBytes,
    parse_header,
    read_header,
    read_header_async,
)

NORTH_UP = Affine(20, 0, 499980, 0, -20, 4200000)
SMALL: dict[str, Any] = {
    "driver": "GTiff", "height": 40, "width": 50, "count": 1, "dtype": "float32",
    "crs": "EPSG:32610", "transform": NORTH_UP,
}  # fmt: skip


def write(path: Path, tags: dict[str, str] | None = None, **options: Any) -> Path:
    """A GeoTIFF without pixels of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **{**SMALL, **options}) as dataset:
            dataset.update_tags(**(tags or {}))
    return path


def header_of(path: Path, start: int = HEADER_BYTES) -> Header:
    content = path.read_bytes()
    return read_header(lambda a, b: content[a:b], len(content), path.name, content[:start])


def same(ours: float | None, theirs: float | None) -> bool:
    return ours == theirs or (ours is not None and theirs is not None and math.isnan(ours) and math.isnan(theirs))


LAEA = "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs"
CASES: dict[str, dict[str, Any]] = {
    "UTM": {},
    "geographic": {"crs": "EPSG:4326", "transform": Affine(0.1, 0, -180, 0, -0.1, 90)},
    "Web Mercator": {"crs": "EPSG:3857"},
    "ESRI code": {"crs": "ESRI:54009"},
    "projection without a code": {"crs": LAEA},
    "feet": {"crs": "EPSG:2227"},
    "no CRS": {"crs": None},
    "no transform": {"transform": None},
    "no georeference": {"transform": None, "crs": None},
    "rotated": {"transform": Affine(17.3, -10, 499980, -10, -17.3, 4200000)},
    "south up": {"transform": Affine(20, 0, 499980, 0, 20, 4200000)},
    "oblong pixels": {"transform": Affine(10, 0, 0.1, 0, -60, 1 / 3)},
    "pixel is point": {"tags": {"AREA_OR_POINT": "Point"}},
    "rotated pixel is point": {"transform": Affine(1, 2, 3, 4, 5, 6), "tags": {"AREA_OR_POINT": "Point"}},
    "point without a transform": {"transform": None, "tags": {"AREA_OR_POINT": "Point"}},
    "control points": {"transform": None, "gcps": [GroundControlPoint(*p) for p in ((0, 0, 1, 2), (0, 9, 3, 4))]},
    "nodata 0": {"nodata": 0},
    "nodata nan": {"nodata": math.nan},
    "nodata -inf": {"nodata": -math.inf},
    "nodata -9999": {"nodata": -9999, "dtype": "int16"},
    "nodata 0.1": {"nodata": 0.1},
    "nodata of uint8": {"nodata": 255, "dtype": "uint8"},
    "nodata of int8": {"nodata": -128, "dtype": "int8"},
    "nodata -9999 in unsigned bytes": {"dtype": "uint8", "nodata_tag": "-9999"},
    "nodata beyond double in int64": {"nodata": -(2**63), "dtype": "int64"},
    "lowest float32": {"nodata": float(np.finfo("float32").min)},
    "big-endian": {"endianness": "big", "nodata": 7, "dtype": "uint16"},
    "BigTIFF": {"bigtiff": "yes", "tiled": True, "count": 3, "interleave": "band"},
    "bands": {"count": 5},
    "twelve bits": {"nbits": 12, "dtype": "uint16"},
    "one bit": {"nbits": 1, "dtype": "uint8"},
    "half floats": {"nbits": 16},
    "complex": {"dtype": "complex64"},
    "complex integers": {"dtype": "complex_int16"},
    "JPEG": {"dtype": "uint8", "compress": "jpeg", "count": 3, "photometric": "ycbcr"},
    "tags of the scene": {"tags": {"DATE": "2020-01-06", "ORBIT": "<&>"}},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_header_is_what_rasterio_says(tmp_path: Path, case: dict[str, Any]) -> None:
    options = dict(case)
    nodata_tag = options.pop("nodata_tag", None)
    path = write(tmp_path / "a.tif", **options)
    if nodata_tag:
        replace_nodata(path, nodata_tag)
    header = header_of(path)
    with rasterio.open(path) as dataset:
        assert header.crs == (dataset.crs.to_wkt() if dataset.crs else "")
        assert header.epsg == (dataset.crs.to_epsg() if dataset.crs else None)
        assert header.transform == tuple(dataset.transform)[:6]
        assert header.shape == dataset.shape
        assert header.bands == dataset.count
        assert header.dtype == dataset.dtypes[0].replace("float16", "float32")  # as GDAL before 3.11 has it
        assert all(map(same, header.nodatas, dataset.nodatavals))
        assert (header.scales, header.offsets) == (dataset.scales, dataset.offsets)
        assert header.tile_shape == dataset.block_shapes[0]


def replace_nodata(path: Path, text: str) -> None:
    """Write nodata that GDAL would refuse to write."""
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = 12345 % 256
    content = path.read_bytes()
    entry = content.index(b"\x81\xa4\x02\0")  # tag 42113 (GDAL_NODATA), ASCII; its three bytes stand in place
    longer = (text.ljust(4) + "\0").encode()  # five bytes and more stand behind an offset
    changed = content[: entry + 4] + len(longer).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    path.write_bytes(changed + content[entry + 12 :] + longer)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [("uint8", "-9999"), ("uint8", "300"), ("uint8", "1.5"), ("uint8", "inf"), ("int8", "200"), ("int16", "1e10"),
     ("int16", "nan"), ("uint16", "abc"), ("uint64", str(2**64 - 1)), ("int64", str(2**53 + 1)), ("float32", "1e300"),
     ("float32", "0.1")],
)  # fmt: skip
def test_pixels_of_sparse_tiles_are_what_gdal_says(tmp_path: Path, dtype: str, text: str) -> None:
    path = write(tmp_path / "a.tif", dtype=dtype, sparse_ok=True)
    replace_nodata(path, text)
    with rasterio.open(path) as dataset:
        assert header_of(path).fills == tuple(dataset.read()[:, 0, 0].tolist())


def test_scales_and_offsets_are_read_per_band(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", {"DATE": "2020", "NOTE": "scale"}, count=3, dtype="int16")
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.1, 2, 1), (-1, 0, 273.15)
    header = header_of(path)
    assert (header.scales, header.offsets) == ((0.1, 2, 1), (-1, 0, 273.15))


@given(
    place=st.lists(st.floats(-1e7, 1e7, width=32), min_size=6, max_size=6).map(lambda six: Affine(*six)),
    point=st.booleans(),
    nodata=st.one_of(st.none(), st.floats(width=32)),
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_any_transform_and_nodata_is_what_rasterio_says(
    tmp_path_factory: pytest.TempPathFactory, place: Affine, point: bool, nodata: float | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tif"
    write(path, {"AREA_OR_POINT": "Point"} if point else {}, transform=place, nodata=nodata)
    header = header_of(path)
    with rasterio.open(path) as dataset:
        assert header.transform == tuple(dataset.transform)[:6]
        assert all(map(same, header.nodatas, dataset.nodatavals))


def test_equal_geo_tags_cost_one_opening_by_gdal(tmp_path: Path) -> None:
    georeference._interpret.cache_clear()
    for i in range(5):
        header_of(write(tmp_path / f"{i}.tif", {"DATE": f"2020-01-0{i}"}, nodata=0))
    assert georeference._interpret.cache_info().misses == 1


def test_a_header_of_a_known_grid_takes_milliseconds_at_most(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif", height=5490, width=5490, tiled=True, blockxsize=512, blockysize=512, sparse_ok=True
    )
    header_of(path)
    start = time.thread_time()  # what others take on a busy machine is not in it
    for _ in range(50):
        header_of(path)
    assert (time.thread_time() - start) / 50 < 0.005  # measured 0.1 ms


def test_a_header_of_thousands_of_bands_takes_less_than_a_second(tmp_path: Path) -> None:
    content = write(tmp_path / "a.tif", dtype="int8", count=6_000, nodata=7, sparse_ok=True).read_bytes()
    start = time.thread_time()
    header = read_header(lambda begin, stop: content[begin:stop], len(content))
    assert time.thread_time() - start < 1  # measured 0.05 s; 2 s when each band was read
    assert (header.fills, header.nodatas) == ((7,) * 6_000, (7,) * 6_000)


@pytest.mark.parametrize("start", [0, 1, 8, 100, 5000, HEADER_BYTES])
@pytest.mark.parametrize("size_known", [True, False])
def test_a_header_at_the_end_is_fetched_in_few_requests(tmp_path: Path, start: int, size_known: bool) -> None:
    path = write(tmp_path / "a.tif", height=700, width=700, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.ones((1, 700, 700), "float32"))
        dataset.update_tags(NOTE="x" * 50_000)
    content = path.read_bytes()
    asked: list[tuple[int, int]] = []

    def get(begin: int, end: int) -> bytes:
        asked.append((begin, end))
        return content[begin:end]

    header = read_header(get, len(content) if size_known else None, "a.tif", content[:start])
    assert header.shape == (700, 700)
    assert len(asked) <= 5
    assert sum(end - begin for begin, end in asked) < 5 * HEADER_BYTES


def test_async_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", nodata=3)
    content = path.read_bytes()

    async def get(begin: int, end: int) -> bytes:
        await asyncio.sleep(0)
        return content[begin:end]

    ours = asyncio.run(read_header_async(get, None, "a.tif"))
    assert (ours.crs, ours.transform, ours.nodata_of(1)) == (header_of(path).crs, tuple(NORTH_UP)[:6], 3)


def test_parse_says_which_bytes_it_needs(tmp_path: Path) -> None:
    content = write(tmp_path / "a.tif").read_bytes()
    chunks = SparseBytes("a.tif", len(content))
    needed = parse_header(chunks)
    assert isinstance(needed, NeedBytes)
    assert (needed.start, needed.stop) == (0, len(content))
    chunks.answer(needed, content)
    assert isinstance(parse_header(chunks), Header)


@pytest.mark.parametrize("answer", [b"", b"II*\0", bytes(10**6)])
def test_an_answer_of_another_length_is_an_error(answer: bytes) -> None:
    with pytest.raises(ReadError, match=rf"s3://b/k: wanted bytes 0 to 32768, got {len(answer)}"):
        read_header(lambda a, b: answer, 99999, "s3://b/k")


def test_errors_of_the_transport_pass_through() -> None:
    def get(start: int, stop: int) -> bytes:
        raise PermissionError

    with pytest.raises(PermissionError):
        read_header(get, 99999, "s3://b/k")


def test_a_header_travels_to_workers(tmp_path: Path) -> None:
    header = header_of(write(tmp_path / "a.tif"))
    copy = pickle.loads(pickle.dumps(header))
    assert (copy.crs, copy.shape) == (header.crs, header.shape)
    np.testing.assert_array_equal(copy.layout.offsets, header.layout.offsets)


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data())
def test_damaged_geo_tags_give_a_header_or_a_read_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    if not path.exists():
        write(path, crs=LAEA, nodata=5, count=2, tags={"AREA_OR_POINT": "Point"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 1000))
        value = data.draw(st.binary(min_size=1, max_size=4))
        content[at : at + len(value)] = value
    try:
        header = read_header(lambda a, b: bytes(content[a:b]), len(content))
    except ReadError:
        return
    assert len(header.transform) == 6
