"""Masks in files of their own: their names, their place on the scenes, and what happens where they do not fit."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import block_job, compose, local_source
from masked_scenes import UTM, MaskPlace, mask_settings, masked_stack, write_bands, write_mask, write_pair
from rasterio.transform import Affine

from runner.errors import PlanError, SourceError
from runner.model import Inputs, LeftOut, MaskFile, StoredObject
from runner.planning.planner import make_plan
from runner.read.header import Window
from runner.settings import Duplicates, Georeference, MaskHrefSettings, MaskSettings, OnError, S3Settings
from runner.source.mask_files import name_masks, recorded_with_mask, with_mask
from runner.source.names import name_candidates
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

SCENE = Window(0, 0, 60, 50)
PIXELS = np.ones((60, 50), np.uint16)


def inputs(folder: Path, on_error: OnError = OnError.stop, **changes: Any) -> Inputs:
    source, mask = local_source(folder, url=f"{folder}/*_B.tif"), mask_settings(**{"bits": [0], **changes})
    return find_inputs(source, Stores(S3Settings()), on_error, lambda done, total: None, mask)


def write_two(folder: Path, *, masks: int = 2) -> None:
    for day in (1, 2):
        write_pair(folder, day, SCENE, PIXELS)
        if day <= masks:
            write_mask(folder, day, SCENE, np.zeros((60, 50), np.uint8))


# --- names ----------------------------------------------------------------------------------------------------------

LANDSAT = (
    "s3://usgs-landsat/collection02/level-2/standard/oli-tirs/2020/044/034/LC08_L2SP_044034_20200106_20200823_02_T1/"
)
SENTINEL = "s3://sentinel-cogs/sentinel-s2-l2a-cogs/10/T/EK/2020/6/S2A_10TEK_20200603_0_L2A/"


@pytest.mark.parametrize(
    ("preset", "scene", "mask"),
    [
        (
            "landsat_qa_pixel",
            LANDSAT + "LC08_L2SP_044034_20200106_20200823_02_T1_SR_B4.TIF",
            LANDSAT + "LC08_L2SP_044034_20200106_20200823_02_T1_QA_PIXEL.TIF",
        ),
        (
            "landsat_qa_pixel",
            "/d/LC08_L2SP_044034_20200106_20200823_02_T1_ST_B10.TIF",
            "/d/LC08_L2SP_044034_20200106_20200823_02_T1_QA_PIXEL.TIF",
        ),
        ("sentinel2_scl", SENTINEL + "B04.tif", SENTINEL + "SCL.tif"),
        ("sentinel2_scl", SENTINEL + "B8A.tif", SENTINEL + "SCL.tif"),
        (
            "hls_fmask",
            "/d/HLS.L30.T10TET.2020006T184503.v2.0.B04.tif",
            "/d/HLS.L30.T10TET.2020006T184503.v2.0.Fmask.tif",
        ),
        (
            "planet_udm2",
            "/d/20200704_183015_1000_3B_AnalyticMS_SR_clip.tif",
            "/d/20200704_183015_1000_3B_udm2_clip.tif",
        ),
        (
            "planet_udm2",
            "/d/20220815_144658_72_241e_3B_AnalyticMS_SR_8b_harmonized_clip.tif",
            "/d/20220815_144658_72_241e_3B_udm2_clip.tif",
        ),
        ("planet_udm2", "/d/20220815_144658_72_241e_3B_AnalyticMS_SR.tif", "/d/20220815_144658_72_241e_3B_udm2.tif"),
    ],
)
def test_a_preset_finds_the_mask_of_a_provider(preset: str, scene: str, mask: str) -> None:
    settings = compose("source=local", "source.url=/d/*.tif", f"mask={preset}").mask
    assert with_mask(settings, StoredObject(scene)).mask == StoredObject(mask)


def test_several_replacements_follow_one_another_and_may_refer_to_groups() -> None:
    settings = MaskSettings(href=MaskHrefSettings(["/red/", "/quality/", r"_(\d+)\.tif$", r"_q\1.tif"]))
    assert with_mask(settings, StoredObject("/d/red/x_12.tif")).mask == StoredObject("/d/quality/x_q12.tif")


def test_an_asset_counts_before_the_address() -> None:
    settings = MaskSettings(asset="scl", href=MaskHrefSettings(["B04", "SCL"]))
    item = StoredObject("/d/B04.tif", assets=(("red", "/d/B04.tif"), ("scl", "/elsewhere/SCL.tif")))
    assert with_mask(settings, item).mask == StoredObject("/elsewhere/SCL.tif")
    assert with_mask(settings, replace(item, assets=())).mask == StoredObject("/d/SCL.tif")


def test_an_item_without_the_asset_is_refused_or_left_out() -> None:
    item = StoredObject("/d/20200101_B04.tif", assets=(("red", "/d/B04.tif"), ("nir", "/d/B08.tif")))
    candidates = name_candidates(local_source(Path("/d")), [item])
    settings = MaskSettings(asset="scl", bits=[1])
    with pytest.raises(SourceError, match="it has no asset 'scl' .mask.asset.; its assets are red, nir; leave such"):
        name_masks(settings, candidates)
    with pytest.raises(SourceError, match="its assets are red, nir; did you mean 'nir'"):
        name_masks(replace(settings, asset="nirr"), candidates)
    named, left_out = name_masks(replace(settings, on_missing=OnError.skip), candidates)
    assert named == []
    assert [(lack.skipped, lack.reason[:21]) for lack in left_out] == [(True, "it has no asset 'scl'")]


@pytest.mark.parametrize(
    ("replacement", "problem"),
    [
        (["_C", "_QA"], "'_C' of mask.href.replace does not match"),
        (["_B", "_B"], "its mask would be the scene itself"),
    ],
)
def test_an_address_that_leads_to_no_mask_is_refused(tmp_path: Path, replacement: list[str], problem: str) -> None:
    write_two(tmp_path)
    with pytest.raises(SourceError, match=problem):
        inputs(tmp_path, href=MaskHrefSettings(replacement))


def test_the_recorded_mask_counts_as_long_as_the_settings_name_it() -> None:
    recorded = StoredObject("/d/x_QA.tif", 4711, '"a"')
    item = StoredObject("/d/x_B.tif", mask=recorded)
    assert recorded_with_mask(mask_settings(), item).mask is recorded
    assert recorded_with_mask(MaskSettings(asset="qa"), item).mask is recorded
    assert recorded_with_mask(mask_settings(href=MaskHrefSettings(["_B", "_C"])), item).mask == StoredObject(
        "/d/x_C.tif"
    )
    assert recorded_with_mask(MaskSettings(), item).mask is None
    with pytest.raises(SourceError, match="recorded without a mask"):
        recorded_with_mask(MaskSettings(asset="qa"), replace(item, mask=None))


# --- missing masks --------------------------------------------------------------------------------------------------


def test_a_scene_without_its_mask_ends_the_run_or_is_left_out(tmp_path: Path) -> None:
    write_two(tmp_path, masks=1)
    for on_error in OnError:
        with pytest.raises(
            SourceError, match=r"02_QA.tif does not exist; leave such scenes out with mask.on_missing=skip"
        ):
            inputs(tmp_path, on_error)
    found = inputs(tmp_path, on_missing=OnError.skip)
    assert [scene.name for scene in found.stack.scenes] == ["20200101_B"]
    assert _reasons(found.left_out) == [f"its mask {tmp_path}/20200102_QA.tif does not exist"]
    assert found.skipped == 1


def test_an_error_of_missing_masks_says_how_many_of_which_scenes(tmp_path: Path) -> None:
    for day in range(1, 10):
        write_pair(tmp_path, day, SCENE, PIXELS)
    write_mask(tmp_path, 2, SCENE, np.zeros((60, 50), np.uint8))
    tried = "20200101_B.tif: its mask .*20200101_QA.tif does not exist"
    others = "20200103_B, 20200104_B, 20200105_B, 20200106_B, 20200107_B and 2 more"
    with pytest.raises(SourceError, match=f"{tried}; 8 of 9 scenes lack theirs, also {others}; leave such scenes out"):
        inputs(tmp_path)
    (tmp_path / "20200102_QA.tif").unlink()
    with pytest.raises(
        SourceError, match=f"{tried}; none of 9 scenes has its mask: correct mask.href.replace or mask.a"
    ):
        inputs(tmp_path)


def test_items_that_lack_the_asset_are_counted() -> None:
    items = [StoredObject(f"/d/2020010{day}_B04.tif", assets=(("red", "/d/B04.tif"),)) for day in (1, 2)]
    candidates = name_candidates(local_source(Path("/d")), items)
    with pytest.raises(SourceError, match="no asset 'scl' .*; none of 2 scenes has its mask: correct"):
        name_masks(MaskSettings(asset="scl", bits=[1]), candidates)


# --- masks among the scenes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "names", "masks", "way"),
    [
        ("*.tif", ["{}_B.tif"], ["_B", "_QA"], "url=.*/data/[*]_B.tif"),
        ("**/*.tif", ["{}_B4.tif", "{}_B5.tif"], ["_B.", "_QA"], "'source.exclude=[*]_QA.tif'"),
        ("**/*.tif", ["L_{}/B04.tif", "L_{}/B05.tif"], [r"/B\d+", "/SCL"], "'source.exclude=[*]/SCL.tif'"),
    ],
)
def test_masks_that_are_listed_as_scenes_are_named_with_a_way_to_leave_them_out(
    tmp_path: Path, url: str, names: list[str], masks: list[str], way: str
) -> None:
    for name in {*names, *(re.sub(*masks, scene) for scene in names)}:
        for day in ("20200101", "20200102"):
            path = tmp_path / "data" / name.format(day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    source = local_source(tmp_path, url=f"{tmp_path}/data/{url}")
    settings = mask_settings(href=MaskHrefSettings(masks), bits=[0])
    first = "(20200101_QA.tif|L_20200101/SCL.tif)"
    counted = f"matches 2 masks beside {2 * len(names)} scenes: .*{first} is the mask of .*B0?4?.tif"
    with pytest.raises(SourceError, match=f"{counted} .*{way}"):
        find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None, settings)
    without = replace(source, exclude=["*_QA.tif", "*/SCL.tif"], duplicates=Duplicates.keep)
    with pytest.raises(SourceError, match="it is empty"):  # the scenes are read
        find_inputs(without, Stores(S3Settings()), OnError.stop, lambda done, total: None, settings)


def _reasons(left_out: tuple[LeftOut, ...]) -> list[str]:
    return [item.reason for item in left_out]


def test_a_mask_that_is_not_a_tiff_is_a_fault_of_its_scene(tmp_path: Path) -> None:
    write_two(tmp_path)
    (tmp_path / "20200102_QA.tif").write_text("<html>")
    with pytest.raises(SourceError, match=r"20200102_B.tif: its mask .*20200102_QA.tif: not a TIFF"):
        inputs(tmp_path, on_missing=OnError.skip)
    assert "its mask" in _reasons(inputs(tmp_path, OnError.skip).left_out)[0]


# --- place ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", [MaskPlace(), MaskPlace(2), MaskPlace(3, -4, -1), MaskPlace(1, -7, 0), MaskPlace(100)]
)
def test_a_mask_knows_its_place_on_the_scene(tmp_path: Path, place: MaskPlace) -> None:
    write_pair(tmp_path, 1, SCENE, PIXELS)
    write_mask(tmp_path, 1, SCENE, np.zeros(place.shape(SCENE), np.uint8), place)
    mask = masked_stack(local_source(tmp_path, url=f"{tmp_path}/*_B.tif"), mask_settings(bits=[0])).scenes[0].mask
    assert mask is not None
    assert (mask.factor, mask.row, mask.column) == place


@pytest.mark.parametrize(
    ("shape", "profile", "problem"),
    [
        ((60, 50), {"crs": "EPSG:32611"}, r"it has CRS EPSG:32610, its mask has EPSG:32611 .*gdalwarp"),
        (
            (60, 50),
            {"transform": UTM @ Affine.translation(0.5, 0)},
            r"pixels of 20 x -20 from \(499980.* off its lattice",
        ),
        ((60, 50), {"transform": UTM @ Affine.scale(1.5)}, r"its mask has pixels of 30 x -30 from .* off its lattice"),
        (
            (120, 100),
            {"transform": UTM @ Affine.scale(0.5)},
            r"its mask has pixels of 10 x -10 from .* off its lattice",
        ),
        ((60, 50), {"transform": UTM @ Affine.scale(2, 3)}, r"off its lattice"),
        ((59, 50), {}, r"its mask covers rows 0 to 59 and columns 0 to 50 of its 60 rows and 50 columns .*20200101_QA"),
        ((60, 50), {"transform": UTM @ Affine.translation(1, 0)}, r"covers rows 0 to 60 and columns 1 to 51"),
        (
            (60, 50),
            {"transform": Affine.identity(), "crs": None},
            r"it has a place on the ground and its mask has none",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_mask_off_the_pixels_of_its_scene_is_refused(
    tmp_path: Path, shape: tuple[int, int], profile: dict[str, Any], problem: str
) -> None:
    write_pair(tmp_path, 1, SCENE, PIXELS)
    write_mask(tmp_path, 1, SCENE, np.zeros(shape, np.uint8), **profile)
    with pytest.raises(SourceError, match=problem):
        inputs(tmp_path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("shape", "factor"), [((60, 50), 1), ((30, 25), 2), ((8, 7), 8)])
def test_files_without_a_place_match_by_row_and_column(tmp_path: Path, shape: tuple[int, int], factor: int) -> None:
    nowhere = {"transform": Affine.identity(), "crs": None}
    write_bands(tmp_path / "20200101_B.tif", PIXELS, **nowhere)
    write_mask(tmp_path, 1, SCENE, np.zeros(shape, np.uint8), **nowhere)
    source = local_source(tmp_path, url=f"{tmp_path}/*_B.tif", georeference=Georeference.none)
    (mask,) = masked_stack(source, mask_settings(bits=[0])).masks
    assert mask.factor == factor


def test_the_part_of_a_mask_covers_a_window_and_no_more() -> None:
    mask = MaskFile("m", 1, None, None, None, 3, -4, -1)  # type: ignore[arg-type]
    assert mask.part(Window(0, 0, 1, 1)) == Window(1, 0, 1, 1)
    assert mask.part(Window(1, 2, 2, 3)) == Window(1, 1, 2, 1)
    assert mask.part(Window(2, 1, 7, 2)) == Window(2, 0, 3, 2)


# --- settings that do not fit the masks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "settings", "problem"),
    [
        ("uint8", {"bits": [8]}, r"mask.bits=\[8\]: masks have 8 bits, the lowest is 0, such as"),
        ("uint8", {"bits": None, "values": [3, 300]}, r"mask.values=\[3, 300\]: masks have values from 0 to 255, such"),
        ("int16", {"bits": None, "keep": [-40000]}, r"mask.keep=\[-40000\]: masks have values from -32768 to 32767"),
        ("uint8", {"band": 2}, "mask.band=2: masks have 1 band, such as"),
        ("float32", {}, "masks are of type float32, wanted integers, such as"),
    ],
)
def test_settings_that_do_not_fit_the_masks_are_refused(
    tmp_path: Path, dtype: str, settings: dict[str, Any], problem: str
) -> None:
    write_pair(tmp_path, 1, SCENE, PIXELS)
    write_mask(tmp_path, 1, SCENE, np.zeros((60, 50), dtype))
    mask = mask_settings(**{"bits": [0], **settings})
    job = replace(block_job(), mask=mask, source=local_source(tmp_path, url=f"{tmp_path}/*_B.tif"))
    with pytest.raises(PlanError, match=problem):
        make_plan(job, masked_stack(job.source, mask))
