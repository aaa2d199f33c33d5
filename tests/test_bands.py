"""Several bands of the same files, by one command."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
from faulty_server import FaultyServer, faulty_server, for_blocks, for_key
from jobs import Typed
from multiband import write_bands
from rasterio.transform import from_origin
from stack_archives import same_results

from runner.base.humanize import size
from runner.read.header import HEADER_BYTES
from runner.record.run import PassRecord
from runner.record.run_folder import read_run
from runner.record.stacks import read_stacks

pytestmark = pytest.mark.slow  # each starts a run


@pytest.mark.parametrize(("bands", "names"), [("[red,nir]", ["red", "nir"]), ("all", ["blue", "green", "red", "nir"])])
def test_each_band_is_a_stack_of_its_own(typed: Typed, tmp_path: Path, bands: str, names: list[str]) -> None:
    numbers = {"blue": 1, "green": 2, "red": 3, "nir": 4}
    for day in (1, 2):
        write_bands(tmp_path / f"data/2020010{day}.tif", tuple(numbers))
    done = typed("source=local", "source.url=data/*.tif", f"source.bands={bands}", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert {*zip(table["band"], table["mean"], strict=True)} == {(name, 100.0 * numbers[name]) for name in names}
    assert len(table) == 2 * len(names)
    assert sorted(pd.read_parquet(tmp_path / "out/stacks.parquet")["band"]) == sorted(names)
    for name in names:
        with rasterio.open(tmp_path / f"out/stacks/{name}/temporal_mean.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), np.full((20, 20), 100 * numbers[name], np.float32))


def test_a_band_of_a_run_is_the_run_of_that_band_alone(typed: Typed, tmp_path: Path) -> None:
    write_bands(tmp_path / "data/20200101.tif", ("red", "nir"))
    assert not typed("source=local", "source.url=data/*.tif", "source.bands=all", "output.dir=out").returncode
    assert not typed("source=local", "source.url=data/*.tif", "source.band=nir", "output.dir=alone").returncode
    for name in ("spatial_mean.parquet", "temporal_mean.tif"):
        together, alone = tmp_path / "out/stacks/nir" / name, tmp_path / "alone" / name
        assert together.read_bytes() == alone.read_bytes()


def test_a_band_that_one_stack_lacks_fails_that_stack(typed: Typed, tmp_path: Path) -> None:
    write_bands(tmp_path / "data/a_20200101.tif", ("red", "nir"))
    write_bands(tmp_path / "data/b_20200101.tif", ("red", "swir"))
    by_tile = [r"""source.datetime_regex='(?P<tile>[ab])_(?P<date>\d{8})'""", "source.stack_by=[tile]"]
    words = ["source=local", "source.url=data/*.tif", *by_tile, "source.bands=[red,swir]", "output.dir=out"]
    done = typed(*words, "archive.on_error=continue")
    assert done.returncode == 1
    assert "source.band=swir" in done.stderr
    assert {row.stack: row.status for row in read_stacks(tmp_path / "out")} == {
        "a_red": "COMPLETED", "a_swir": "FAILED", "b_red": "COMPLETED", "b_swir": "COMPLETED",
    }  # fmt: skip


@pytest.mark.parametrize("action", ["run", "plan"])
def test_a_band_that_is_misspelt_is_found_before_any_work(typed: Typed, tmp_path: Path, action: str) -> None:
    write_bands(tmp_path / "data/20200101.tif", ("red", "nir"))
    words = ["source=local", "source.url=data/*.tif", "source.bands=[red,nri]", "output.dir=out"]
    done = typed(f"action={action}", *words)
    assert done.returncode == 1
    assert "source.bands=[red,nri]: band nri: " in done.stderr
    assert "20200101.tif has 'red', 'nir'; did you mean 'nir'" in done.stderr
    assert not (tmp_path / "out/stacks").exists()


# --- read once --------------------------------------------------------------------------------------------------------

NAMES = ("blue", "green", "red", "nir")
DAYS = ("20200101", "20200102", "20200103")
SIZE = 150


def pixels_of(day: str) -> npt.NDArray[np.uint16]:
    """Noise, with a border of 0 that is another for each band."""
    pixels = np.random.default_rng(int(day)).integers(1, 4000, (len(NAMES), SIZE, SIZE)).astype(np.uint16)
    for number, band in enumerate(pixels):
        band[: 20 * number] = 0
    return pixels


def write_scenes(folder: Path, interleave: str) -> None:
    """Scenes of three tiles by three; the last names its bands in another order."""
    folder.mkdir(parents=True)
    place: dict[str, Any] = {"crs": "EPSG:32610", "transform": from_origin(499980, 4200000, 10, 10), "nodata": 0}
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": interleave}
    for day in DAYS:
        order = [3, 2, 1, 0] if day == DAYS[-1] else [0, 1, 2, 3]
        shape = {"count": len(NAMES), "height": SIZE, "width": SIZE, "dtype": "uint16"}
        path = folder / f"{day}.tif"
        with rasterio.open(path, "w", compress="deflate", predictor=2, **shape, **tiles, **place) as raster:
            raster.write(pixels_of(day)[order])
            for number, index in enumerate(order, start=1):
                raster.set_band_description(number, NAMES[index])


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FaultyServer]:
    write_scenes(tmp_path / "buckets/b", getattr(request, "param", "pixel"))
    with faulty_server(tmp_path / "buckets") as server:
        yield server


def source_of(server: FaultyServer) -> list[str]:
    address = [f"source.s3.endpoint_url={server.endpoint}", "source.s3.anonymous=true"]
    return ["source=local", "source.url=s3://b/*.tif", *address]


def asked(server: FaultyServer) -> tuple[int, int]:
    """Requests for headers and for tiles."""
    kinds = Counter(request.header for request in server.asked)
    return kinds[True], kinds[False]


def assert_right(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        pixels = np.stack([pixels_of(day)[NAMES.index(name)] for day in DAYS]).astype(np.float64)
        counts = (pixels != 0).sum(axis=0)
        mean = np.where(counts, pixels.sum(axis=0) / np.maximum(counts, 1), np.nan)
        with rasterio.open(folder / "stacks" / name / "temporal_mean.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), mean.astype(np.float32))


def same_as_alone(typed: Typed, server: FaultyServer, tmp_path: Path, name: str = "nir") -> bool:
    assert typed(*source_of(server), f"source.band={name}", "output.dir=alone").returncode == 0
    return same_results(tmp_path / "out/stacks" / name, tmp_path / "alone")


WORKERS = ["cluster@archive.cluster=processes", "archive.cluster.n_workers=2"]


@pytest.mark.parametrize(
    "words",
    [["cluster=threads"], ["cluster=processes"], ["cluster=sync"], WORKERS],
    ids=["threads", "processes", "sync", "stacks on workers"],
)
def test_interleaved_bands_are_fetched_once_and_have_the_bytes_of_each_alone(
    typed: Typed, tmp_path: Path, server: FaultyServer, words: list[str]
) -> None:
    one = typed(*source_of(server), "source.band=nir", *(words if words is not WORKERS else ()), "output.dir=alone")
    assert one.returncode == 0, one.stderr
    counts, alone = asked(server), server.bytes_sent()
    server.begin(lambda _: None)
    done = typed(*source_of(server), "source.bands=[blue,green,red,nir]", *words, "output.dir=out")
    assert done.returncode == 0, done.stderr
    headers, tiles = asked(server)
    assert (headers - 1, tiles - 1) == counts  # one header more, of which the end lies apart, to look the bands up
    assert 0 < server.bytes_sent() - 2 * alone <= 2 * HEADER_BYTES
    assert_right(tmp_path / "out")
    assert same_results(tmp_path / "out/stacks/nir", tmp_path / "alone")
    (single,) = read_run(tmp_path / "alone").record.passes
    passes = [read_run(tmp_path / "out/stacks" / name).record.passes[0] for name in NAMES]
    assert sum(map(fetched, passes)) == sum(each.planned.stored_bytes or 0 for each in passes) == fetched(single)
    assert max(map(fetched, passes)) - min(map(fetched, passes)) <= sum(each.tasks for each in passes)


def fetched(record: PassRecord) -> int:
    """Bytes."""
    assert record.fetched is not None
    return record.fetched.bytes


@pytest.mark.parametrize("server", ["band"], indirect=True)
def test_of_bands_that_lie_apart_only_the_chosen_are_fetched(
    typed: Typed, tmp_path: Path, server: FaultyServer
) -> None:
    done = typed(*source_of(server), "source.bands=[red,nir]", "output.dir=out")
    assert done.returncode == 0, done.stderr
    assert asked(server)[0] == len(DAYS) + 1  # one to look the bands up
    assert_right(tmp_path / "out", ("red", "nir"))
    stored = sum(file.stat().st_size for file in (tmp_path / "buckets/b").iterdir())
    passes = [read_run(tmp_path / "out/stacks" / name).record.passes[0] for name in ("red", "nir")]
    assert 0.3 < sum(map(fetched, passes)) / stored < 0.55
    assert same_as_alone(typed, server, tmp_path)


def test_the_plan_of_the_whole_tells_the_bytes_that_are_fetched(
    typed: Typed, tmp_path: Path, server: FaultyServer
) -> None:
    planned = typed("action=plan", *source_of(server), "source.bands=all")
    assert planned.returncode == 0, planned.stderr
    assert asked(server)[0] == 2  # the first scene's, for the names of the bands and for the plan
    assert typed(*source_of(server), "source.bands=all", "output.dir=out").returncode == 0
    passes = [read_run(tmp_path / "out/stacks" / name).record.passes[0] for name in NAMES]
    assert f" {len(DAYS)} requests, {size(sum(map(fetched, passes)))} stored in tiles, " in planned.stdout


def test_a_damaged_scene_ends_all_bands_or_is_skipped_in_all(
    typed: Typed, tmp_path: Path, server: FaultyServer
) -> None:
    path = tmp_path / "buckets/b" / f"{DAYS[1]}.tif"
    content = bytearray(path.read_bytes())
    content[-4000:-3000] = bytes(1000)
    path.write_bytes(content)
    words = [*source_of(server), "source.bands=all"]
    failed = typed(*words, "archive.on_error=continue", "output.dir=failed")
    assert failed.returncode == 1
    rows = {row.stack: row for row in read_stacks(tmp_path / "failed")}
    assert {row.status for row in rows.values()} == {"FAILED"}
    assert all(f"s3://b/{DAYS[1]}.tif: a tile of" in str(row.error) for row in rows.values())
    skipped = typed(*words, "on_error=skip", "output.dir=out")
    assert skipped.returncode == 0, skipped.stderr
    assert {(row.scenes, row.left_out) for row in read_stacks(tmp_path / "out")} == {(2, 1)}
    alone = typed(*source_of(server), "source.band=red", "on_error=skip", "output.dir=alone")
    assert alone.returncode == 0, alone.stderr
    assert same_results(tmp_path / "out/stacks/red", tmp_path / "alone")


def test_a_stopped_run_goes_on_with_the_bands_and_tasks_that_are_missing(
    typed: Typed, tmp_path: Path, server: FaultyServer
) -> None:
    server.begin(for_key(DAYS[2], for_blocks(lambda _: "404")))
    words = [*source_of(server), "source.bands=all", "chunks.time=1", "output.dir=out"]
    failed = typed(*words, "archive.on_error=continue")
    assert failed.returncode == 1, failed.stderr
    shutil.rmtree(tmp_path / "out/stacks/red")  # as if it had never begun
    server.begin(lambda _: None)
    resumed = typed("log", "resume", "out")
    assert resumed.returncode == 0, resumed.stderr
    assert {row.status for row in read_stacks(tmp_path / "out")} == {"COMPLETED"}
    assert_right(tmp_path / "out")
    assert same_as_alone(typed, server, tmp_path, "red")


def test_bands_that_do_not_fit_into_memory_together_are_read_in_batches(
    typed: Typed, tmp_path: Path, server: FaultyServer
) -> None:
    alone = typed("action=plan", *source_of(server), "source.band=nir")
    memory = re.search(r"a worker's memory +(\d+)", alone.stdout)
    assert memory, alone.stdout
    limit = f"cluster.memory_limit={int(memory[1]) + 20}MB"
    server.begin(lambda _: None)
    done = typed(*source_of(server), "source.bands=all", limit, "output.dir=out")
    assert done.returncode == 0, done.stderr
    again = [request for request in server.asked if request.attempt > 1 and not request.header]
    assert again
    assert_right(tmp_path / "out")
    assert same_as_alone(typed, server, tmp_path)
