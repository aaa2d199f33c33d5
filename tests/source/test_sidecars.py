"""What stands in files beside a TIFF is read as GDAL reads it, or refused by name; it is never passed over."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from jobs import Cli, local_source
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.demo.server import serve
from runner.errors import SourceError
from runner.model import Inputs, Scene, StoredObject
from runner.settings import Georeference, OnError, S3Settings, Sidecars, SourceSettings
from runner.source.reopen import look_up, read_scenes
from runner.source.scenes import find_inputs
from runner.source.sidecars import by_folded_name, may_be_sidecar, relevant_part, with_sidecars
from runner.source.stack import make_stack
from runner.source.stores import Stores

PLACED = "<SRS>EPSG:32611</SRS><GeoTransform>500000, 10, 0, 4000000, 0, -10</GeoTransform>"
BAND = '<PAMRasterBand band="1"><NoDataValue>5</NoDataValue><Scale>2</Scale><Offset>3</Offset></PAMRasterBand>'
HARMLESS = (
    '<Metadata><MDI key="AREA_OR_POINT">Area</MDI></Metadata><PAMRasterBand band="1"><Histograms><HistItem/>'
    '</Histograms><Metadata><MDI key="STATISTICS_MEAN">1</MDI></Metadata></PAMRasterBand>'
)
WORLD = "20\n0\n0\n-20\n499990\n5300030\n"


def find(source: SourceSettings, on_error: OnError = OnError.stop) -> Inputs:
    return find_inputs(source, Stores(source.s3), on_error, lambda done, total: None)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Two scenes without georeference and nodata."""
    return folder_of(tmp_path / "plain", crs=None, transform=None, nodata=None)


def folder_of(folder: Path, days: int = 2, **profile: object) -> Path:
    with warnings.catch_warnings(action="ignore"):  # rasterio's, of no georeference
        for day in range(1, days + 1):
            write_scene(folder / f"2020010{day}.tif", speckle((40, 30), seed=day), **profile)
    return folder


def beside(folder: Path, form: str, text: str) -> None:
    """A file beside each scene; {} stands for its name without the ending."""
    for path in sorted(folder.glob("*.tif")):
        (folder / form.format(path.stem)).write_text(text)


def seen_by_gdal(scene: Scene) -> None:
    with rasterio.open(scene.href) as dataset:
        header = scene.header
        assert (dataset.crs.to_wkt() if dataset.crs else "", dataset.nodatavals) == (header.crs, header.nodatas)
        assert tuple(dataset.transform)[:6] == header.transform
        assert (dataset.scales, dataset.offsets) == (header.scales, header.offsets)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{}.tif.aux.xml", f"<PAMDataset>{PLACED}{BAND}{HARMLESS}</PAMDataset>"),
        ("{}.tfw", WORLD),
        ("{}.TFW", WORLD),
        ("{}.Tfw", WORLD),
        ("{}.tifw", WORLD),
        ("{}.wld", WORLD),
    ],
)
def test_place_nodata_and_scale_beside_a_file_are_gdals(plain: Path, form: str, text: str) -> None:
    beside(plain, form, text)
    for scene in find(local_source(plain)).stack.scenes:
        assert scene.header.placed
        assert scene.sidecars == (str(plain / form.format(scene.name)),)
        seen_by_gdal(scene)


@pytest.mark.parametrize(("form", "read"), [("{}.tif.aux.xml", True), ("{}.tfw", False)])
def test_an_aux_xml_wins_over_the_file_and_the_file_over_a_world_file(tmp_path: Path, form: str, read: bool) -> None:
    folder = folder_of(tmp_path)
    beside(folder, form, f"<PAMDataset>{PLACED}{BAND}</PAMDataset>" if read else "1\n0\n0\n-1\n0\n0\n")
    for scene in find(local_source(folder)).stack.scenes:
        assert (scene.header.nodata_of(1), scene.header.epsg) == ((5, 32611) if read else (0, 32610))
        seen_by_gdal(scene)


def test_of_two_world_files_the_one_counts_that_gdal_takes(plain: Path) -> None:
    beside(plain, "{}.tfw", WORLD)
    beside(plain, "{}.tifw", WORLD.replace("20", "30"))
    for scene in find(local_source(plain)).stack.scenes:
        seen_by_gdal(scene)


def test_a_world_file_of_another_ending_places_nothing(plain: Path) -> None:
    beside(plain, "{}.tiffw", WORLD)
    with pytest.raises(SourceError, match="no world file"):
        find(local_source(plain))


def test_an_aux_xml_of_statistics_changes_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    before = [scene.header.transform for scene in find(local_source(folder)).stack.scenes]
    beside(folder, "{}.tif.aux.xml", f"<PAMDataset>{HARMLESS}</PAMDataset>")
    scenes = find(local_source(folder)).stack.scenes
    assert [(one.header.transform, one.sidecars) for one in scenes] == [(transform, ()) for transform in before]
    assert relevant_part(f"<PAMDataset>{HARMLESS}</PAMDataset>".encode()) == b""


NODATA = '<PAMRasterBand band="1"><NoDataValue>5</NoDataValue></PAMRasterBand>'


@pytest.mark.parametrize(
    "text",
    [
        f"<PAMDataset>{NODATA}</PAMDataset>".lower().encode(),
        f"<Other>{NODATA}</Other>".encode(),
        b'<PAMDataset><PAMRasterBand band="1" NoDataValue="5"/></PAMDataset>',
        f'<PAMDataset xmlns="a">{NODATA}</PAMDataset>'.encode(),
        f'<PAMDataset><Subdataset name="x"><PAMDataset>{NODATA}</PAMDataset></Subdataset></PAMDataset>'.encode(),
        f'<?xml version="1.0"?><PAMDataset>{NODATA}</PAMDataset>'.encode(),
        f"<!-- so --><PAMDataset>{NODATA}</PAMDataset>".encode(),
        f"<PAMDataset>{NODATA.replace('5<', '5<!-- so --><')}</PAMDataset>".encode(),
        f"<PAMDataset>{NODATA.replace('5<', '<![CDATA[5]]><')}</PAMDataset>".encode(),
        f"<PAMDataset>{NODATA}</PAMDataset>".encode("utf-8-sig"),
        f"<PAMDataset>{NODATA}</PAMDataset>\0\0<".encode(),
        f"<PAMDataset><Metadata><MDI key='a'>\xe9</MDI></Metadata>{NODATA}</PAMDataset>".encode("latin-1"),
        f"<PAMDataset>{NODATA}".encode(),
        f"<PAMDataset>{NODATA}</PAMDataset>".encode("utf-16"),
        b"<PAMDataset><SRS>",
        b"no XML at all",
        b"",
    ],
)
def test_an_aux_xml_in_any_form_is_read_as_far_as_gdal_reads_it(tmp_path: Path, text: bytes) -> None:
    (scene,) = [*folder_of(tmp_path, days=1).glob("*.tif")]
    Path(f"{scene}.aux.xml").write_bytes(text)
    with warnings.catch_warnings(action="ignore"):
        (found,) = find(local_source(tmp_path)).stack.scenes
        seen_by_gdal(found)


@pytest.mark.parametrize(("band", "nodata"), [(1, None), (2, 9), (3, 7)])
def test_nodata_is_that_of_the_band(tmp_path: Path, band: int, nodata: float | None) -> None:
    """Files beside a TIFF may give each band its own; blocks that are not stored are nodata of their band too."""
    path, profile = tmp_path / "20200101.tif", {"height": 64, "width": 64, "blockxsize": 16, "blockysize": 16}
    options = {"crs": "EPSG:32610", "transform": from_origin(0, 0, 9, 9), "tiled": True, "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="float32", **profile, **options):
        pass
    bands = "".join(
        f'<PAMRasterBand band="{one}"><NoDataValue>{value}</NoDataValue></PAMRasterBand>'
        for one, value in ((2, 9), (3, 7))
    )
    beside(tmp_path, "{}.tif.aux.xml", f"<PAMDataset>{bands}</PAMDataset>")
    stack = find(local_source(tmp_path, band=band)).stack
    assert (stack.nodata, stack.scenes[0].header.fills) == (nodata, (0, 9, 7))
    seen_by_gdal(stack.scenes[0])


def test_scenes_that_an_aux_xml_puts_elsewhere_are_no_stack(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "20200102.tif.aux.xml").write_text(f"<PAMDataset>{PLACED}</PAMDataset>")
    with pytest.raises(SourceError, match=r"1 with CRS EPSG:32610 \(.*\), 1 with CRS EPSG:32611 \(.*20200102\)"):
        find(local_source(folder))


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        ("{}.tif.msk", "any", r"2 of 2 scenes have a mask beside them, such as .*20200101.tif.msk, which is not read"),
        ("{}.tif.MSK", "any", r"2 of 2 scenes have a mask beside them, such as .*20200101.tif.MSK, which is not read"),
        ("{}.tif.aux.xml", '<P><Metadata><MDI key="NODATA_VALUES">0</MDI></Metadata></P>', "names NODATA_VALUES"),
        (
            "{}.tif.aux.xml",
            '<P><metadata domain=""><mdi KEY="nodata_Values">0</mdi></metadata></P>',
            "names NODATA_VALUES",
        ),
    ],
)
def test_what_is_not_read_is_refused_by_name_unless_it_is_ignored(
    tmp_path: Path, form: str, text: str, problem: str
) -> None:
    folder = folder_of(tmp_path)
    beside(folder, form, text)
    with pytest.raises(SourceError, match=problem):
        find(local_source(folder))
    assert len(find(local_source(folder, sidecars=Sidecars.ignore)).stack.scenes) == 2


def test_files_without_a_place_are_refused_unless_pixels_are_said_to_fit(plain: Path) -> None:
    with pytest.raises(SourceError, match=r"2 of 2 scenes have no georeference.*source.georeference=none"):
        find(local_source(plain))
    stack = find(local_source(plain, georeference=Georeference.none)).stack
    assert (stack.grid.crs, stack.grid.transform) == (None, (1, 0, 0, 0, 1, 0))


def test_scenes_that_lie_elsewhere_make_a_stack_without_a_place_if_pixels_are_said_to_fit(tmp_path: Path) -> None:
    write_scene(tmp_path / "20200101.tif", speckle((40, 30)))
    write_scene(tmp_path / "20200102.tif", speckle((40, 30)), crs="EPSG:4326", transform=from_origin(5, 50, 1, 1))
    grid = find(local_source(tmp_path, georeference=Georeference.none)).stack.grid
    assert (grid.crs, grid.crs_name) == (None, "no georeference")


@pytest.mark.parametrize(
    ("tags", "sidecar", "has"),
    [
        ("gcps", None, "only 3 ground control points"),
        ("rpcs", None, "only RPCs"),
        (None, "{}_RPC.TXT", "only .*20200101_RPC.TXT"),
        (None, "{}.tfw", "only .*20200101.tfw"),  # which GDAL cannot read
    ],
)
def test_a_place_by_points_or_polynomials_only_is_refused_by_name(
    plain: Path, tags: str | None, sidecar: str | None, has: str
) -> None:
    if sidecar:
        beside(plain, sidecar, "nothing")
    for path in plain.glob("*.tif") if tags else ():
        with warnings.catch_warnings(action="ignore"), rasterio.open(path, "r+") as dataset:
            if tags == "gcps":
                points = [GroundControlPoint(row, row**2, 10 + row, 50 - row) for row in (0, 1, 2)]
                dataset.gcps = points, rasterio.CRS.from_epsg(4326)
            else:
                dataset.rpcs = RPCS
    with pytest.raises(SourceError, match=rf"2 of 2 scenes have no georeference .* has .*{has}"):
        find(local_source(plain))


RPCS = rasterio.rpc.RPC(
    err_bias=0, err_rand=0, height_off=0, height_scale=1, lat_off=0, lat_scale=1, line_off=0, line_scale=1,
    long_off=0, long_scale=1, samp_off=0, samp_scale=1, line_den_coeff=[1.0] * 20, line_num_coeff=[1.0] * 20,
    samp_den_coeff=[1.0] * 20, samp_num_coeff=[1.0] * 20,
)  # fmt: skip


@pytest.fixture
def bucket(plain: Path) -> Iterator[SourceSettings]:
    """The plain scenes in a bucket, with world files."""
    beside(plain, "{}.tfw", WORLD)
    (plain.parent / "buckets").mkdir()
    shutil.copytree(plain, plain.parent / "buckets/b")
    with serve(plain.parent / "buckets") as endpoint:
        s3 = S3Settings(endpoint_url=endpoint, anonymous=True)
        yield SourceSettings("s", url="s3://b/*.tif", datetime_regex=r"(?P<date>\d{8})", s3=s3)


def test_a_listing_shows_what_stands_beside_and_a_record_keeps_it(bucket: SourceSettings) -> None:
    """What a bucket's listing shows is read, though the pattern does not match it; and read again without a listing."""
    scenes = find(bucket).stack.scenes
    assert [one.sidecars for one in scenes] == [("s3://b/20200101.tfw",), ("s3://b/20200102.tfw",)]
    assert scenes[0].header.transform == (20, 0, 499980, 0, -20, 5300040)
    stores = Stores(bucket.s3)
    recorded = [StoredObject(one.href, time=one.time, sidecars=one.sidecars) for one in scenes]
    found, _ = read_scenes(
        bucket, [*zip(look_up(recorded, stores), "ab", strict=True)], stores, lambda done, total: None
    )
    assert make_stack(bucket, found).grid == make_stack(bucket, scenes).grid


def test_only_names_that_gdal_looks_for_stand_beside() -> None:
    names = {f"s3://b/x{one}" for one in (".tif.msk", ".tfw", ".TFW", ".tif.ovr", ".wld", ".tiffw", ".tif.AUX.XML")}
    others = {"s3://b/xy.tfw", "s3://B/x.tifw", "s3://b/X.tif.aux.xml"}
    item = with_sidecars(StoredObject("s3://b/x.tif"), by_folded_name(names | others))
    assert item.sidecars == ("s3://b/x.tif.msk", "s3://b/x.tfw", "s3://b/x.wld")
    assert [name for name in sorted(names) if not may_be_sidecar(name)] == ["s3://b/x.tif.ovr"]


@pytest.fixture
def erdas(tmp_path: Path) -> Callable[..., Path]:
    """A scene with an .aux of ERDAS Imagine beside it, of this profile and under a name of this form."""

    def make(form: str, **profile: object) -> Path:
        path = write_scene(tmp_path / "20200101.tif", speckle((40, 30)))
        options = {"driver": "HFA", "count": 1, "height": 40, "width": 30, "dtype": "float32", **profile}
        own = {"DEPENDENT_FILE": path.name, "AUX": "YES"}
        with warnings.catch_warnings(action="ignore"), rasterio.open(tmp_path / "x.img", "w", **options, **own):
            pass
        return (tmp_path / "x.img").rename(tmp_path / form.format(path.stem))

    return make


@pytest.mark.parametrize("form", ["{}.aux", "{}.tif.aux", "{}.AUX"])
@pytest.mark.parametrize(
    "more",
    [{"nodata": 5}, {"crs": "EPSG:32611"}, {"transform": from_origin(0, 0, 9, 9), "crs": "EPSG:32610"}],
    ids=["nodata", "CRS", "place"],
)
def test_an_erdas_aux_that_says_more_is_refused_by_name(
    erdas: Callable[..., Path], form: str, more: dict[str, object]
) -> None:
    path = erdas(form, **more)
    with pytest.raises(SourceError, match=f"{path.name} is an ERDAS Imagine file that names another nodata"):
        find(local_source(path.parent))
    assert find(local_source(path.parent, sidecars=Sidecars.ignore)).stack.nodata == 0


@pytest.mark.parametrize(
    "same",
    [{}, {"nodata": 0, "crs": "EPSG:32610", "transform": from_origin(499980, 5300040, 20, 20)}, {"height": 41}],
    ids=["statistics", "the same", "another image's"],
)
def test_an_erdas_aux_that_says_nothing_new_is_no_hindrance(
    erdas: Callable[..., Path], same: dict[str, object]
) -> None:
    (scene,) = find(local_source(erdas("{}.aux", **same).parent)).stack.scenes
    with rasterio.open(scene.href) as dataset:
        assert (tuple(dataset.transform)[:6], dataset.nodatavals) == (scene.header.transform, scene.header.nodatas)


def test_an_aux_of_another_program_is_passed_over(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, days=1)
    beside(folder, "{}.aux", "EHFA_HEADER_TAG, but no more")
    assert len(find(local_source(folder)).stack.scenes) == 1


def test_entities_that_grow_are_left_to_gdal_which_knows_none() -> None:
    text = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + at, b"&%c;" % (97 + at) * 10) for at in range(9)
    )
    text += b"]><PAMDataset><SRS>&j;</SRS></PAMDataset>"
    assert relevant_part(text) == text


def test_a_folder_of_day_of_year_names_and_world_files_is_dated_and_placed(tmp_path: Path, cli: Cli) -> None:
    """As a user brings them: the means are numpy's, the table has days of acquisition, the raster lies there."""
    pixels = [np.full((20, 10), value, np.float32) for value in (1, 3)]
    with warnings.catch_warnings(action="ignore"):
        for day, layer in zip(("001", "017"), pixels, strict=True):
            name = f"MOD13Q1.A2020{day}.h09v05.061.2020{day[1:]}1123456.tif"
            write_scene(tmp_path / "export_20240301" / name, layer, crs=None, transform=None)
    beside(tmp_path / "export_20240301", "{}.tfw", WORLD)
    done = cli("source=local", "source.url=export_20240301/*.tif", "output.dir=run")
    assert done.returncode == 0, done.stderr
    assert "2 scenes from 2020-01-01 (export_20240301/MOD13Q1.A2020001.h09v05.061.2020011123456.tif)" in done.stderr
    table = pd.read_parquet(tmp_path / "run/spatial_mean.parquet")
    assert [f"{time:%Y-%m-%d}" for time in table["datetime"]] == ["2020-01-01", "2020-01-17"]
    assert table["mean"].tolist() == [1, 3]
    with rasterio.open(tmp_path / "run/temporal_mean.tif") as raster:
        assert (raster.read(1) == 2).all()
        assert raster.transform == from_origin(499980, 5300040, 20, 20)
