"""What hides pixels: a file's own mask, nodata, or both; GDAL's own mask is the truth, for every reader and engine."""

import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil
import tiff_files
from hypothesis import given
from hypothesis import strategies as st
from jobs import found_stack, local_source
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from small_tiffs import (
    EXTRA_SAMPLES,
    METADATA,
    NODATA,
    PHOTOMETRIC,
    SUBFILE,
    Image,
    Values,
    as_pixels,
    metadata,
    tiff,
)
from tiff_files import tags_of

from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, run_tasks
from runner.engine.xarray_engine import open_stack
from runner.errors import PlanError, ReadError
from runner.model import Stack
from runner.planning.masking import PixelRule, make_rule
from runner.planning.planner import make_plan
from runner.planning.records import Chunks, Task
from runner.read.header import Window, read_header
from runner.read.masks import FileMask
from runner.reduce.statistics import finish
from runner.settings import Georeference, JobSettings, MaskSettings, Over, OwnMask, ReaderName, StageSettings

Bools = npt.NDArray[np.bool_]

SHAPE = (6, 8)
RAMP = np.tile(np.arange(8, dtype=np.uint8), (6, 1))
SEEN = np.arange(48).reshape(SHAPE) % 3 > 0  # of a mask
OPAQUE = np.arange(48).reshape(SHAPE) % 5 > 1  # of alpha
MASK = Image(as_pixels(np.where(SEEN, 255, 0).astype(np.uint8)), {SUBFILE: [4]})
ALPHA = np.where(OPAQUE, 255, 0).astype(np.uint8)
SMALL = [Image(MASK.pixels[:, :3, :4], {SUBFILE: [kind]}) for kind in (1, 5)]  # an overview, and its mask
THREE: Values = b"3"
ALPHA_BY_METADATA = metadata('<Item name="COLORINTERP" sample="1" role="colorinterp">Alpha</Item>')


def values_of(*values: int) -> bytes:
    return metadata(f'<Item name="NODATA_VALUES">{" ".join(map(str, values))}</Item>')


def with_alpha(dtype: str = "uint8", count: int = 2, **changes: Any) -> Image:
    """A ramp and its opacity, alpha by ExtraSamples unless `changes` say otherwise."""
    pixels = np.stack([*[RAMP] * (count - 1), ALPHA]).astype(dtype)
    return Image(pixels, {EXTRA_SAMPLES: [*[0] * (count - 2), 2], **changes.get("tags", {})})


def per_band() -> Image:
    """A mask for each of two bands."""
    return Image(np.stack([MASK.pixels[0], 255 - MASK.pixels[0]]), {SUBFILE: [4]})


def ramp(**tags: Values) -> Image:
    numbers = {"nodata": NODATA, "metadata": METADATA}
    return Image(as_pixels(RAMP), {numbers[name]: value for name, value in tags.items()})


FILES: dict[str, tuple[FileMask, list[Image]]] = {
    "nothing": (FileMask.none, [ramp()]),
    "nodata": (FileMask.none, [ramp(nodata=THREE)]),
    "a mask": (FileMask.mask, [ramp(), MASK]),
    "a mask of zeros and ones": (FileMask.mask, [ramp(), Image(MASK.pixels // 255, {SUBFILE: [4]})]),
    "a mask and nodata": (FileMask.mask, [ramp(nodata=THREE), MASK]),
    "a mask for each band": (FileMask.mask, [Image(np.stack([RAMP, RAMP])), per_band()]),
    "a mask for each band, and nodata": (FileMask.mask, [Image(np.stack([RAMP, RAMP]), {NODATA: THREE}), per_band()]),
    "a mask among SubIFDs": (FileMask.mask, [Image(as_pixels(RAMP), inside=[MASK])]),
    "a mask and alpha": (FileMask.mask, [with_alpha(), MASK]),
    "a mask, inverted": (FileMask.mask, [ramp(), Image(MASK.pixels, {SUBFILE: [4], PHOTOMETRIC: [0]})]),
    "a mask of another size": (FileMask.none, [ramp(nodata=THREE), Image(MASK.pixels[:, :3], {SUBFILE: [4]})]),
    "a mask of 16 bits": (FileMask.none, [ramp(nodata=THREE), Image(MASK.pixels.astype("uint16"), {SUBFILE: [4]})]),
    "the mask of an overview": (FileMask.none, [ramp(nodata=THREE), *SMALL]),
    "masks of overview and image": (FileMask.mask, [ramp(), *SMALL, MASK]),
    "alpha": (FileMask.alpha, [with_alpha()]),
    "alpha of Corel": (FileMask.alpha, [with_alpha(tags={EXTRA_SAMPLES: [999]})]),
    "alpha multiplied in": (FileMask.alpha, [with_alpha(tags={EXTRA_SAMPLES: [1]})]),
    "alpha by metadata": (FileMask.alpha, [with_alpha(tags={EXTRA_SAMPLES: [0], METADATA: ALPHA_BY_METADATA})]),
    "alpha of RGB": (FileMask.alpha, [with_alpha(count=4, tags={EXTRA_SAMPLES: [2], PHOTOMETRIC: [2]})]),
    "alpha of 16 bits": (FileMask.alpha, [with_alpha("uint16")]),
    "alpha of floats": (FileMask.none, [with_alpha("float32")]),
    "alpha among three bands": (FileMask.none, [with_alpha(count=3)]),
    "alpha and nodata": (FileMask.alpha, [with_alpha(tags={NODATA: THREE})]),
    "NODATA_VALUES": (FileMask.values, [ramp(metadata=values_of(3))]),
    "NODATA_VALUES and nodata": (FileMask.values, [Image(as_pixels(RAMP), {NODATA: b"1", METADATA: values_of(3)})]),
    "NODATA_VALUES and a mask": (FileMask.mask, [ramp(metadata=values_of(3)), MASK]),
    "NODATA_VALUES of two bands": (
        FileMask.values,
        [Image(np.stack([RAMP, RAMP.clip(3)]), {METADATA: values_of(3, 3)})],
    ),
    "NODATA_VALUES of too few bands": (FileMask.none, [Image(np.stack([RAMP, RAMP]), {METADATA: values_of(3)})]),
}  # fmt: skip
every_file = pytest.mark.parametrize(("mask", "images"), FILES.values(), ids=FILES.keys())
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@every_file
def test_the_header_tells_what_gdal_looks_at(mask: FileMask, images: list[Image]) -> None:
    content = tiff(*images)
    header = read_header(lambda start, stop: content[start:stop], len(content))
    assert header.mask_of(1) is mask
    with MemoryFile(content) as memory, memory.open() as dataset:
        assert dataset.mask_flag_enums[0] or mask is FileMask.mask  # of none of the flags: a mask for each band


@pytest.fixture(params=["auto", "gdal", "xarray"])
def reader(request: pytest.FixtureRequest) -> str:
    """The fast reader where it can, GDAL, or the other engine."""
    return str(request.param)


@every_file
def test_the_pixels_that_count_are_those_of_gdals_mask(
    tmp_path: Path, reader: str, mask: FileMask, images: list[Image]
) -> None:
    assert mask in FileMask
    assert_counted(write(tmp_path, images), reader, gdal_mask(tiff(*images)))


def test_nothing_is_hidden_without_masking(tmp_path: Path, reader: str) -> None:
    assert_counted(write(tmp_path, FILES["a mask and nodata"][1]), reader, np.ones(SHAPE, np.bool_), mask=OwnMask.none)


NODATA_TOO = [name for name, (mask, _) in FILES.items() if "and nodata" in name or mask is FileMask.mask]


@pytest.mark.parametrize("name", NODATA_TOO)
@pytest.mark.parametrize(("nodata", "mask"), [(None, OwnMask.both), (5, OwnMask.nodata)])
def test_mask_and_nodata_hide_pixels_together_if_that_is_asked_for(
    tmp_path: Path, reader: str, name: str, nodata: int | None, mask: OwnMask
) -> None:
    images = FILES[name][1]
    without_tag = [replace(one, tags={key: one.tags[key] for key in one.tags if key != NODATA}) for one in images]
    expected = gdal_mask(tiff(*without_tag))
    expected[nodata_pixels(images[0]) if nodata is None else RAMP == nodata] = False  # noqa: SIM300 - an array
    assert_counted(write(tmp_path, images), reader, expected, mask=mask, nodata=nodata)


PAM = {
    "nodata": '<PAMRasterBand band="1"><NoDataValue>3</NoDataValue></PAMRasterBand>',
    "nodata of the alpha band": '<PAMRasterBand band="2"><NoDataValue>3</NoDataValue></PAMRasterBand>',
    "alpha": '<PAMRasterBand band="2"><ColorInterp>Alpha</ColorInterp></PAMRasterBand>',
    "no alpha": '<PAMRasterBand band="2"><ColorInterp>Gray</ColorInterp></PAMRasterBand>',
    "NODATA_VALUES": '<Metadata><MDI key="nodata_values">3 255</MDI></Metadata>',
}
BESIDE = [
    *((name, [with_alpha()]) for name in ("nodata", "nodata of the alpha band", "alpha", "no alpha")),
    ("alpha", [Image(np.stack([RAMP, ALPHA]), {})]),
    *((name, [ramp(), MASK]) for name in ("nodata", "NODATA_VALUES")),
]


@pytest.mark.parametrize(("name", "images"), BESIDE)
def test_what_an_aux_xml_says_of_masks_is_what_gdal_makes_of_it(
    tmp_path: Path, reader: str, name: str, images: list[Image]
) -> None:
    path = write(tmp_path, images)
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{PAM[name]}</PAMDataset>")
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning), rasterio.open(path) as dataset:
        expected = dataset.read_masks(1) > 0
    assert_counted(path, reader, expected)


@pytest.mark.parametrize(("nodata", "mask", "hidden"), [(None, OwnMask.both, 3), (5, OwnMask.nodata, 5)])
def test_nodata_of_an_aux_xml_leaves_alpha_where_both_are_asked_for(
    tmp_path: Path, reader: str, nodata: int | None, mask: OwnMask, hidden: int
) -> None:
    path = write(tmp_path, [with_alpha()])
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{PAM['nodata']}</PAMDataset>")
    assert_counted(path, reader, OPAQUE & np.not_equal(RAMP, hidden), mask=mask, nodata=nodata)


def nodata_pixels(image: Image) -> Bools:
    """Those that have the value of its tag."""
    return np.equal(RAMP, int(bytes(image.tags.get(NODATA, b"-1"))))


def test_nan_and_a_mask(tmp_path: Path, reader: str) -> None:
    floats = RAMP.astype(np.float32)
    floats[2, 3] = np.nan
    images = [Image(as_pixels(floats), {NODATA: b"nan"}), MASK]
    assert_counted(write(tmp_path, images), reader, SEEN & ~np.isnan(floats))


def test_scaled_pixels_are_masked_as_stored(tmp_path: Path, reader: str) -> None:
    scaled = metadata('<Item name="SCALE" sample="0" role="scale">0.5</Item>')
    images = [Image(as_pixels(RAMP), {METADATA: scaled, NODATA: b"1"}), MASK]  # which 2 becomes
    assert_counted(write(tmp_path, images), reader, SEEN)
    assert_counted(write(tmp_path, images), reader, SEEN & (RAMP != 1), mask=OwnMask.both)


def test_a_band_that_is_alpha_itself_counts_in_full(tmp_path: Path, reader: str) -> None:
    assert_counted(write(tmp_path, [with_alpha()]), reader, np.ones(SHAPE, np.bool_), band=2)


def test_the_fast_reader_refuses_a_mask_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="does not take an internal mask; read it through GDAL"):
        counted(write(tmp_path, [ramp(), MASK]), "cog")


def test_scenes_with_and_without_a_mask_stand_in_one_stack(tmp_path: Path, reader: str) -> None:
    first = write(tmp_path, [ramp(nodata=THREE), MASK])
    write(tmp_path, [ramp(nodata=THREE)], day=12)
    assert counted(first, reader, scene=0).tolist() == SEEN.tolist()
    assert counted(first, reader, scene=1).tolist() == (RAMP != 3).tolist()


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("kind", ["one bit", "eight bits", "sparse", "other tiles"])
def test_masks_as_gdal_writes_them(tmp_path: Path, reader: str, driver: str, kind: str) -> None:
    seen = np.zeros((70, 90), np.bool_) if kind == "sparse" else np.random.default_rng(1).random((70, 90)) < 0.7
    options = {"INTERNAL_MASK": True, "INTERNAL_MASK_TO_8BIT": kind == "eight bits"}
    path = tmp_path / "20200106.tif"
    source = tmp_path / "source.tiff" if driver == "COG" else path
    profile = {"driver": "GTiff", "height": 70, "width": 90, "count": 1, "dtype": "int16", "nodata": 7}
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 32} if kind == "other tiles" else {}
    with rasterio.Env(**{f"GDAL_TIFF_{name}": value for name, value in options.items()}):
        with rasterio.open(source, "w", **profile, **tiled, sparse_ok=True) as dataset:
            dataset.write(np.arange(70 * 90).reshape(1, 70, 90).astype("int16"))
            dataset.write_mask(seen)
        if driver == "COG":
            rasterio.shutil.copy(source, path, driver="COG", blocksize=32, overviews="force_use_existing")
    assert_counted(path, reader, seen)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_invalid_pixels_of_lerc_do_not_count(tmp_path: Path, dtype: str) -> None:
    path = write_lerc(tmp_path, dtype, SEEN)
    assert_counted(path, "auto", SEEN)
    hidden = SEEN if dtype == "float32" else np.ones(SHAPE, np.bool_)  # which are NaN there
    assert_counted(path, "auto", hidden, mask=OwnMask.none)


def test_integers_of_lerc_without_invalid_pixels_all_count(tmp_path: Path, reader: str) -> None:
    assert_counted(write_lerc(tmp_path, "uint8", None), reader, np.ones(SHAPE, np.bool_))


def test_gdal_refuses_integers_of_lerc_with_invalid_pixels(tmp_path: Path) -> None:
    path = write_lerc(tmp_path, "uint8", SEEN)
    with pytest.raises(ReadError, match="LERCPreDecode"):
        counted(path, "gdal")


def write_lerc(folder: Path, dtype: str, valid: Bools | None) -> Path:
    blob = imagecodecs.lerc_encode(RAMP.astype(dtype), level=0, masks=valid, version=4)
    kind = {258: (3, [8 * np.dtype(dtype).itemsize]), 339: (3, [{"u": 1, "i": 2, "f": 3}[np.dtype(dtype).kind]])}
    path = folder / "20200106.tif"
    path.write_bytes(
        tiff_files.tiff(tags_of("none", 6, SHAPE) | kind | {259: (3, [34887]), 50674: (4, [4, 0])}, [blob])
    )
    return path


@given(
    flags=st.sets(st.sampled_from(["nodata", "mask", "values", "alpha"])),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float16", "float32"]),
)
def test_any_combination_is_masked_as_gdal_masks(flags: set[str], dtype: str) -> None:
    count = 2 if "alpha" in flags else 1
    tags: dict[int, Values] = {EXTRA_SAMPLES: [2]} if "alpha" in flags else {}
    tags |= {NODATA: THREE} if "nodata" in flags else {}
    tags |= {METADATA: values_of(*[4] * count)} if "values" in flags else {}
    pixels = np.stack([RAMP, np.minimum(ALPHA, 4)] if "alpha" in flags else [RAMP]).astype(dtype)
    content = tiff(Image(pixels, tags), *[MASK] * ("mask" in flags))
    header = read_header(lambda start, stop: content[start:stop], len(content))
    mask, nodata = header.mask_of(1), header.nodata_of(1)
    assert (mask is FileMask.mask) == ("mask" in flags)
    seen = np.ones(SHAPE, np.bool_) if nodata is None or mask.before_nodata else np.not_equal(RAMP, nodata)
    seen &= SEEN if mask is FileMask.mask else True
    seen &= ALPHA > 0 if mask is FileMask.alpha and nodata is None else True
    seen &= (pixels != 4).any(axis=0) if mask is FileMask.values else True
    np.testing.assert_array_equal(seen, gdal_mask(content))


# --- 64-bit integers ------------------------------------------------------------------------------------------------

NEAR = 2**53 + RAMP.astype(np.int64)  # which float64 cannot tell apart


@pytest.mark.parametrize("nodata", [None, 2**53 + 2])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_masked_integers_of_64_bits_are_summed_with_all_their_digits(
    tmp_path: Path, reader: str, dtype: str, nodata: int | None
) -> None:
    write(tmp_path, [Image(as_pixels(NEAR.astype(dtype))), MASK])
    job, stack, rule = prepared(tmp_path, reader, ["sum", "var"], Over.space, nodata=nodata)
    numbers = [Fraction(int(one)) for one in NEAR[SEEN] if one != nodata]
    if reader == "xarray":
        pixels = open_stack(stack, Chunks(1, *SHAPE), rule).compute(scheduler="sync").values[0]
        assert pixels[rule.pixels.valid(pixels)].tolist() == numbers
        return
    found = finish(one_task(job, stack, 0).over_space, ["sum", "var"])
    mean = sum(numbers, Fraction()) / len(numbers)
    assert found["sum"].tolist() == [float(sum(numbers, Fraction()))]
    assert found["var"].tolist() == [float(sum(((one - mean) ** 2 for one in numbers), Fraction()) / len(numbers))]


@pytest.mark.parametrize(("dtype", "mark"), [("int64", -(2**63)), ("uint64", 2**64 - 1)])
def test_a_pixel_like_the_mark_of_hidden_ones_is_refused_unless_it_is_nodata(
    tmp_path: Path, reader: str, dtype: str, mark: int
) -> None:
    pixels = RAMP.astype(dtype)
    pixels[SEEN & (RAMP == 3)] = mark
    path = write(tmp_path, [Image(as_pixels(pixels)), MASK])
    with pytest.raises(PlanError, match=f"is {mark}, which stands for hidden pixels .* say source.nodata={mark} if"):
        counted(path, reader)
    assert_counted(path, reader, SEEN & np.not_equal(RAMP, 3), nodata=mark)


# --- half floats ----------------------------------------------------------------------------------------------------

HALF = np.where(RAMP == 3, np.float16(-10000), RAMP)


@pytest.mark.parametrize("nodata", [b"-10000", b"65504", b"nan", b"inf", b"0.0999755859375", b"0.099975586"])
def test_half_floats_count_but_for_their_nodata(tmp_path: Path, reader: str, nodata: bytes) -> None:
    floats = np.where(RAMP == 3, np.float16(float(nodata)), RAMP)
    images = [Image(as_pixels(floats), {NODATA: nodata})]
    assert_counted(write(tmp_path, images), reader, np.not_equal(RAMP, 3))


@pytest.mark.parametrize(("nodata", "half"), [(b"-9999", "-10000.0"), (b"-3.4e+38", "-inf"), (b"1e-9", "0.0")])
def test_nodata_that_no_half_float_can_be_is_refused_unless_the_settings_say_it(
    tmp_path: Path, reader: str, nodata: bytes, half: str
) -> None:
    path = write(tmp_path, [Image(as_pixels(HALF), {NODATA: nodata})])
    with pytest.raises(PlanError, match=f"no float of 16 bits .* to {half} or near it; set source.nodata to what they"):
        counted(path, reader)
    assert_counted(path, reader, np.not_equal(RAMP, 3), nodata=-10000)
    assert_counted(path, reader, np.ones(SHAPE, np.bool_), mask=OwnMask.none)


def test_nodata_that_no_half_float_can_be_gives_way_to_a_mask(tmp_path: Path, reader: str) -> None:
    path = write(tmp_path, [Image(as_pixels(HALF), {NODATA: b"-9999"}), MASK])
    assert_counted(path, reader, SEEN)
    with pytest.raises(PlanError, match="no float of 16 bits"):
        counted(path, reader, mask=OwnMask.both)


# --- reading --------------------------------------------------------------------------------------------------------


def write(folder: Path, images: list[Image], day: int = 6) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"202001{day:02}.tif"
    path.write_bytes(tiff(*images))
    return path


def gdal_mask(content: bytes) -> Bools:
    """What GDAL lets be seen of band 1."""
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):  # noqa: SIM117
        with MemoryFile(content) as memory, memory.open() as dataset:
            return np.asarray(dataset.read_masks(1) > 0)


def assert_counted(path: Path, reader: str, expected: Bools, **changes: Any) -> None:
    np.testing.assert_array_equal(counted(path, reader, **changes), expected)


def counted(path: Path, reader: str, scene: int = 0, mask: OwnMask = OwnMask.nodata, **changes: Any) -> Bools:
    """Which pixels of a scene of a folder count; `changes` are settings of the source."""
    job, stack, rule = prepared(path.parent, reader, ["count"], Over.time, mask=mask, **changes)
    found = by_xarray(stack, rule)[scene] if reader == "xarray" else by_tasks(job, stack, scene)
    return np.asarray(found, np.bool_)


def prepared(
    folder: Path, reader: str, statistics: list[str], over: Over, mask: OwnMask = OwnMask.nodata, **changes: Any
) -> tuple[JobSettings, Stack, PixelRule]:
    source = local_source(folder, georeference=Georeference.none, **changes)
    which = ReaderName.auto if reader == "xarray" else ReaderName[reader]
    job = JobSettings(
        source=source, reader=which, mask=MaskSettings(mask), stages={"a": StageSettings(over, statistics)}
    )
    stack = found_stack(source)
    return job, stack, make_rule(job, stack)


def by_xarray(stack: Stack, rule: PixelRule) -> Any:
    pixels = open_stack(stack, Chunks(1, stack.grid.height, stack.grid.width), rule)
    return rule.pixels.valid(pixels.compute(scheduler="sync").values)


def by_tasks(job: JobSettings, stack: Stack, scene: int) -> Any:
    result = one_task(job, stack, scene)
    return result.over_time[0].counts


def one_task(job: JobSettings, stack: Stack, scene: int) -> TaskResult:
    """A whole scene."""
    (one,) = make_plan(job, stack).passes
    shared = Shared.of(one.reading, stack, one.stages)
    whole = Task(Window(0, 0, stack.grid.height, stack.grid.width), scene, scene + 1)
    (result,) = run_tasks(shared, iter([whole]))
    return result
