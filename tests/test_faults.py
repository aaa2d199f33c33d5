"""What a server may do to a run, end to end: the right bytes, or a named failure that leaves no result behind."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from faulty_server import (
    Asked,
    FaultyServer,
    Script,
    always,
    at_first,
    faulty_server,
    for_blocks,
    for_key,
    md5_etags,
    some,
)
from scenes_on_disk import speckle, write_scene
from typed import typed
from waiting import LONG

pytestmark = pytest.mark.slow  # each starts runs against a failing server

SHAPE = (600, 500)  # five rows of blocks of 128, each of them a request
DAYS = ("06", "12", "18", "24")
BAD = "S1A_20200112_ASC"  # the scene that something happens to
RESULTS = ("spatial_mean.parquet", "temporal_count.tif", "temporal_mean.tif")
NEVER_RESULTS = {
    "run.json",
    "partials",
    "run.log",
    "events.jsonl",
    "trace.parquet",
    "report.html",
    ".hydra",
    "inputs.parquet",
}
CANARY = "canary-4711-secret"


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    folder: Path

    @property
    def record(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return facts

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def results(self) -> list[bytes]:
        assert self.code == 0, self.stderr
        assert self.record["status"] == "COMPLETED"
        return [(self.folder / name).read_bytes() for name in RESULTS]


def write_archive(root: Path, **profile: Any) -> None:
    for seed, day in enumerate(DAYS):
        path = root / "b" / f"S1A_202001{day}_ASC.tif"
        options = {"blockxsize": 128, "blockysize": 128, "predictor": 3, **profile}
        write_scene(path, speckle(SHAPE, seed=seed), **options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    write_archive(root)
    return root


@pytest.fixture
def server(archive: Path, tmp_path: Path) -> Iterator[FaultyServer]:
    """A server of a copy of the archive, times and so ETags included."""
    with faulty_server(shutil.copytree(archive, tmp_path / "buckets")) as server:
        yield server


def bad_file(tmp_path: Path) -> Path:
    return tmp_path / "buckets/b" / f"{BAD}.tif"


def run(server: FaultyServer, cwd: Path, *words: str, env: dict[str, str] | None = None) -> Done:
    """A job on the server's scenes, through the command line."""
    folder = cwd / "run"
    source = ["source=local", "source.url=s3://b/*.tif", f"source.s3.endpoint_url={server.endpoint}"]
    access = [] if env else ["source.s3.anonymous=true"]
    command = [*source, *access, "chunks=row", f"output.dir={folder}", *words]
    started = time.monotonic()
    done = typed(cwd, *command, env={**os.environ, **(env or {})})
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started, folder)


@pytest.fixture(scope="module")
def clean(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The same job without faults."""
    with faulty_server(archive) as server:
        done = run(server, tmp_path_factory.mktemp("clean"))
    assert done.record["passes"][0]["fetched"]["retries"] == 0
    return done


# --- faults that pass ---------------------------------------------------------------------------------------------

PASSING: dict[str, Script] = {
    "503, 500 and 429 on 30 %": some(0.3, "503", "500", "429"),
    "connections reset on 30 %": some(0.3, "reset"),
    "bodies cut on 10 %": some(0.1, "cut"),
    "bodies shorter than asked on 10 %": some(0.1, "short"),
}


@pytest.mark.parametrize("script", PASSING.values(), ids=PASSING.keys())
def test_faults_that_pass_leave_the_bytes_of_a_clean_run(
    server: FaultyServer, tmp_path: Path, clean: Done, script: Script
) -> None:
    server.script = script
    done = run(server, tmp_path)
    assert done.results() == clean.results()
    headers = [asked for asked in server.asked if asked.header]
    assert done.record["listing"]["requests"] == 1 + len(headers)
    assert done.record["listing"]["retries"] == sum(asked.attempt > 1 for asked in headers)
    fetched = done.record["passes"][0]["fetched"]
    in_blocks = [asked for asked in server.asked if not asked.header]
    assert fetched["requests"] == len(in_blocks)
    assert fetched["retries"] == sum(asked.attempt > 1 for asked in in_blocks) > 0


# --- faults that last ---------------------------------------------------------------------------------------------


def assert_failed(done: Done, *words: str) -> None:
    """Exit code, one line with the words, the same in run.json, and nothing that looks like a result."""
    assert done.code == 1
    assert "Traceback" not in done.stderr + done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    for word in words:
        assert word in line
    record = done.record
    assert (record["status"], record["exit_code"]) == ("FAILED", 1)
    assert words[0] in record["error"]["message"]
    assert SKIP in words or SKIP not in line  # it is no way out of what is not the object's fault
    assert done.files <= NEVER_RESULTS


@dataclass(frozen=True)
class Lasting:
    """A fault that does not pass, and what the user reads about it."""

    script: Script
    words: tuple[str, ...]
    most_attempts: int  # for one range
    timeout: float = LONG  # seconds


SKIP = "leave it out with source.exclude, or every scene that fails with on_error=skip"
THROTTLED = ("s3://b/S1A_2020", "unread after 3 attempts", "throttles (status 503)", "raise fetch.attempts")
SILENT = ("s3://b/S1A_2020", "unread after 3 attempts", "no answer within fetch.timeout", "raise it")
DENIED = ("s3://b/S1A_2020", "access denied", "source.s3.profile", "source.s3.requester_pays=true")
NO_RANGES = ("s3://b/S1A_2020", "ignores Range requests", "check source.s3.endpoint_url")
LASTING = {
    "503 always": Lasting(always("503"), THROTTLED, 3),
    "503 always after the headers": Lasting(for_blocks(always("503")), THROTTLED, 3),
    "silence after the answer's header": Lasting(always("silent"), SILENT, 3, timeout=2),
    "silence after the headers": Lasting(for_blocks(always("silent")), SILENT, 3, timeout=2),
    "403": Lasting(always("403"), DENIED, 1),
    "Range ignored": Lasting(always("whole"), NO_RANGES, 1),
    "a page with 200": Lasting(for_key(BAD, always("html")), (f"{BAD}.tif", *NO_RANGES[1:]), 1),
}


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING.keys())
def test_faults_that_last_end_the_run_soon_and_are_named(server: FaultyServer, tmp_path: Path, fault: Lasting) -> None:
    server.script = fault.script
    done = run(server, tmp_path, "fetch.attempts=3", f"fetch.timeout={fault.timeout}")
    assert_failed(done, *fault.words)
    assert max(asked.attempt for asked in server.asked) == fault.most_attempts
    assert done.seconds < LONG / 2  # the waits are a few seconds in all; the rest is for a busy machine


def test_a_listing_that_is_throttled_always_ends_the_run(server: FaultyServer, tmp_path: Path) -> None:
    server.listing = "503"
    done = run(server, tmp_path, "fetch.attempts=3")
    assert_failed(done, "s3://b: it cannot be listed", "throttles (status 503)", "try later")


def test_no_scene_is_left_out_for_a_fault_that_is_not_its_own(server: FaultyServer, tmp_path: Path) -> None:
    server.script = for_key(BAD, for_blocks(always("expired")))
    done = run(server, tmp_path, "on_error=skip")
    assert_failed(done, f"s3://b/{BAD}.tif", "the credentials have expired (ExpiredToken); log in again")
    assert "left out" not in done.stdout + done.stderr
    assert done.record["stack"]["left_out"] == 0


def test_denied_requests_are_no_storm_and_their_secret_is_not_told(server: FaultyServer, tmp_path: Path) -> None:
    server.script = for_blocks(always("403"))
    environment = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": CANARY}
    done = run(server, tmp_path, "on_error=skip", "stages.spatial_mean.cluster.threads_per_worker=2",
               "stages.temporal_mean.cluster.threads_per_worker=2", "fetch.in_flight=2", env=environment)  # fmt: skip
    assert_failed(done, *DENIED)
    assert server.met["403"] <= 3 * 2  # two for each task under way, and for one that starts meanwhile
    told = [done.stdout, done.stderr, *(path.read_text() for path in done.folder.glob("run.*"))]
    assert not [text for text in told if CANARY in text]


def test_the_whole_of_an_object_is_never_taken_in(server: FaultyServer, tmp_path: Path) -> None:
    os.truncate(bad_file(tmp_path), 300 * 2**20)  # a TIFF with much behind it, which costs no disk
    server.script = for_key(BAD, for_blocks(always("whole")))
    assert_failed(run(server, tmp_path), f"{BAD}.tif", *NO_RANGES[1:])
    assert server.bytes_sent() < 60 * 2**20


def before_blocks(server: FaultyServer, action: Callable[[], object]) -> None:
    """Do it once, when the first block is asked for."""
    waiting = [action]

    def act(asked: Asked) -> None:
        if waiting and not asked.header:
            waiting.pop()()

    server.before = act


@pytest.mark.parametrize("reader", ["cog", "gdal"])
def test_an_object_replaced_during_the_run_ends_it_whatever_the_policy(
    server: FaultyServer, tmp_path: Path, reader: str
) -> None:
    other = write_scene(tmp_path / "other.tif", speckle(SHAPE, seed=9), blockxsize=128, blockysize=128)
    before_blocks(server, lambda: other.replace(bad_file(tmp_path)))
    done = run(server, tmp_path, "on_error=skip", f"reader={reader}")
    assert_failed(done, f"s3://b/{BAD}.tif: changed during the run", "ETag")


# --- one bad scene ------------------------------------------------------------------------------------------------


def truncate(server: FaultyServer, path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_a_vrt(server: FaultyServer, path: Path) -> None:
    path.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")


def delete_in_time(server: FaultyServer, path: Path) -> None:
    """After it was listed and its header was read."""
    before_blocks(server, path.unlink)


UNREADABLE: dict[str, tuple[Callable[[FaultyServer, Path], None], str]] = {
    "truncated": (truncate, "truncated TIFF: a tile ends at byte"),
    "a VRT": (make_a_vrt, "not a TIFF"),
    "gone": (delete_in_time, "deleted after it was listed"),
}


@pytest.mark.parametrize(("spoil", "words"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_scene_that_cannot_be_read_ends_the_run_and_is_named(
    server: FaultyServer, tmp_path: Path, spoil: Callable[[FaultyServer, Path], None], words: str
) -> None:
    spoil(server, bad_file(tmp_path))
    assert_failed(run(server, tmp_path), f"s3://b/{BAD}.tif", words, SKIP)


@pytest.mark.parametrize(("fault", "cluster"), [("truncated", "threads"), ("gone", "processes")])
def test_a_scene_that_cannot_be_read_may_be_left_out_and_is_named(
    server: FaultyServer, tmp_path: Path, clean: Done, fault: str, cluster: str
) -> None:
    spoil, words = UNREADABLE[fault]
    spoil(server, bad_file(tmp_path))
    clusters = [f"cluster@stages.{stage}.cluster={cluster}" for stage in ("spatial_mean", "temporal_mean")]
    done = run(server, tmp_path, "on_error=skip", *clusters)
    done.results()
    inputs = pd.read_parquet(done.folder / "inputs.parquet").set_index("href")
    assert inputs.index[~inputs["used"]].tolist() == [f"s3://b/{BAD}.tif"]
    assert words in inputs.loc[f"s3://b/{BAD}.tif", "reason"]
    assert f"left out: s3://b/{BAD}.tif: " in done.stdout
    assert_the_others_are_right(done, clean)


def assert_the_others_are_right(done: Done, clean: Done) -> None:
    table, whole = (pd.read_parquet(one.folder / "spatial_mean.parquet").set_index("href") for one in (done, clean))
    pd.testing.assert_frame_equal(table, whole.drop(f"s3://b/{BAD}.tif"), check_exact=True)
    with rasterio.open(done.folder / "temporal_count.tif") as raster:
        assert raster.read(1).max() == len(DAYS) - 1


MISFITS: dict[str, tuple[dict[str, Any], str, tuple[str, str]]] = {
    "CRS": ({"crs": "EPSG:32611"}, "float32", ("with CRS EPSG:32610", "with CRS EPSG:32611")),
    "grid": (
        {"transform": rasterio.transform.from_origin(0, 0, 20, 20)},
        "float32",
        ("with pixels of 20 x -20 from (499980, 5300040) on", "shifted by 265002 rows and -24999 columns"),
    ),
    "dtype": ({}, "uint16", ("of type float32", "of type uint16")),
    "nodata": ({"nodata": -1}, "float32", ("with nodata 0.0", "with nodata -1.0")),
}


@pytest.mark.parametrize(("profile", "dtype", "words"), MISFITS.values(), ids=MISFITS.keys())
def test_a_scene_that_does_not_fit_ends_the_run_before_a_cluster_starts(
    server: FaultyServer, tmp_path: Path, profile: dict[str, Any], dtype: str, words: tuple[str, str]
) -> None:
    write_scene(bad_file(tmp_path), speckle(SHAPE).astype(dtype), **profile)
    done = run(server, tmp_path, "on_error=skip")
    most, few = f"{len(DAYS) - 1} {words[0]} (S1A_20200106_ASC)", f"1 {words[1]} ({BAD})"
    assert_failed(done, most, few, f'source.exclude=["*{BAD}*"]')
    assert all(asked.header for asked in server.asked)


# --- flipped bits -------------------------------------------------------------------------------------------------


def flip_a_bit(path: Path) -> None:
    """In the middle of the pixels, as a disk may do: size, time of change and ETag stay."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.fixture
def uncompressed(tmp_path: Path) -> Iterator[FaultyServer]:
    """Scenes that nothing but their ETag can find damaged."""
    root = tmp_path / "buckets"
    write_archive(root, compress="none", predictor=1)
    with faulty_server(root, md5_etags(root)) as server:
        yield server


def test_a_flipped_bit_in_deflate_ends_the_run(server: FaultyServer, tmp_path: Path) -> None:
    flip_a_bit(bad_file(tmp_path))
    assert_failed(run(server, tmp_path), f"s3://b/{BAD}.tif: a tile of tile row 2 is damaged", "upload it again", SKIP)


def test_a_flipped_bit_is_found_by_the_objects_checksum(uncompressed: FaultyServer, tmp_path: Path) -> None:
    flip_a_bit(bad_file(tmp_path))
    done = run(uncompressed, tmp_path, "fetch.verify=checksum")
    assert_failed(done, f"s3://b/{BAD}.tif: its bytes have the MD5", "upload it again", SKIP)


def test_a_scene_with_a_flipped_bit_may_be_left_out(uncompressed: FaultyServer, tmp_path: Path) -> None:
    flip_a_bit(bad_file(tmp_path))
    done = run(uncompressed, tmp_path, "fetch.verify=checksum", "on_error=skip")
    done.results()
    assert pd.read_parquet(done.folder / "spatial_mean.parquet")["href"].tolist() == [
        f"s3://b/S1A_202001{day}_ASC.tif" for day in DAYS if day not in BAD
    ]
    assert f"left out: s3://b/{BAD}.tif: its bytes have the MD5" in done.stdout


def test_a_flipped_bit_without_compression_or_checksum_is_not_found(
    uncompressed: FaultyServer, tmp_path: Path, clean: Done
) -> None:
    flip_a_bit(bad_file(tmp_path))
    done = run(uncompressed, tmp_path)
    done.results()
    assert np.count_nonzero(mean_raster(done) != mean_raster(clean)) == 1


def mean_raster(done: Done) -> np.ndarray:
    with rasterio.open(done.folder / "temporal_mean.tif") as raster:
        return raster.read(1, masked=True).filled(-1)


# --- GDAL ---------------------------------------------------------------------------------------------------------


def test_gdal_fails_rather_than_use_short_data(server: FaultyServer, tmp_path: Path) -> None:
    server.script = for_key(BAD, for_blocks(always("cut")))
    done = run(server, tmp_path, "engine=xarray", "gdal=cloud", "on_error=skip", "fetch.attempts=2")
    assert_failed(done, f"s3://b/{BAD}.tif: bytes", "unread after 2 attempts", "the connection fails")


def test_gdal_retries_too_and_says_that_it_does_not_count(server: FaultyServer, tmp_path: Path, clean: Done) -> None:
    server.script = for_blocks(at_first(0.3, "reset", "503", most=2))
    done = run(server, tmp_path, "reader=gdal", "gdal=cloud", "gdal.options.GDAL_HTTP_RETRY_DELAY=0.05")
    assert done.results() == clean.results()
    assert server.met.total() > 0
    assert done.record["passes"][0]["fetched"] is None
