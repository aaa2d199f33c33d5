"""Several bands of the same tiles, read once: the bits of each are those of the band read alone, and of plain numpy."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from drawn_tiffs import GRID
from hypothesis import given, settings
from hypothesis import strategies as st
from task_scenes import MEANS, MEDIAN, job_of_any_files, scene, speckle, values

from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, run_tasks, run_tasks_of_bands
from runner.errors import RunnerError
from runner.model import MaskFile, Stack
from runner.planning.reading import make_reading
from runner.planning.records import StagePlan, Task
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.settings import JobSettings, MaskSettings, ReaderName
from runner.source.stack import make_stack

SIZE = (70, 90)  # more than one tile of 64, and no whole number of them


class Files(NamedTuple):
    """Scenes (bands, rows, columns) of one type, nodata, options of the writer, and the bands to read."""

    scenes: list[np.ndarray]
    nodata: float
    options: dict[str, Any]
    bands: list[int]
    by_gdal: bool
    masked: bool


@st.composite
def interleaved(draw: st.DrawFn) -> Files:
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]))
    count = draw(st.integers(2, 5))
    bands = draw(st.lists(st.integers(1, count), min_size=2, max_size=count, unique=True))
    nodata = draw(st.sampled_from([0.0, 7.0]))
    kind = dtype if dtype.startswith("f") else "uint16"
    seeds = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))
    scenes = [speckle((count, *SIZE), kind, seed).astype(dtype) for seed in seeds]
    for pixels in scenes:
        for band in draw(st.lists(st.integers(0, count - 1), max_size=2)):
            pixels[band, : draw(st.sampled_from([10, 64, 70]))] = nodata  # rows, whole tiles, or all
    predictors = ["1", "2"] + (["3"] if dtype.startswith("float") else [])
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64} if draw(st.booleans()) else {}
    options = {
        "compress": draw(st.sampled_from(["deflate", "zstd", "lzw", "none"])),
        "predictor": draw(st.sampled_from(predictors)),
        "endianness": draw(st.sampled_from(["little", "big"])),
        "sparse_ok": draw(st.booleans()),
        "photometric": "minisblack",  # or the fourth band of bytes masks the others, which GDAL then reads
        **tiles,
    }
    if options["compress"] == "none":
        del options["predictor"]
    return Files(scenes, nodata, options, bands, draw(st.booleans()), draw(st.booleans()))


def write(folder: Path, files: Files) -> list[Path]:
    paths = []
    for number, pixels in enumerate(files.scenes):
        path = folder / f"{number}.tif"
        shape = {"count": len(pixels), "height": SIZE[0], "width": SIZE[1], "dtype": pixels.dtype.name}
        with rasterio.open(
            path, "w", nodata=files.nodata, interleave="pixel", **GRID, **shape, **files.options
        ) as raster:
            raster.write(pixels)
        paths.append(path)
    return paths


def stacks_of(job: JobSettings, paths: Sequence[Path], bands: Sequence[int], mask: Path | None) -> list[Stack]:
    scenes = [scene(path, number) for number, path in enumerate(paths)]
    if mask:
        file = scene(mask, 0)
        own = MaskFile(file.href, file.size, file.etag, file.modified, file.header, factor=2)
        scenes = [replace(each, mask=own) for each in scenes]
    return [make_stack(replace(job.source, band=band), scenes) for band in bands]


def shared_of(job: JobSettings, stack: Stack, stages: tuple[StagePlan, ...]) -> Shared:
    return Shared.of(make_reading(job, stack), stack, stages)


def task_of(stack: Stack) -> Task:
    return Task(stack.grid.window, 0, len(stack.scenes))


def alone(shared: Shared, task: Task) -> TaskResult:
    (result,) = run_tasks(shared, iter([task]))
    return result


def together(bands: Sequence[Shared], task: Task) -> list[TaskResult]:
    (results,) = run_tasks_of_bands(bands, iter([task]))
    return [result for result in results if isinstance(result, TaskResult)]


def write_mask(folder: Path) -> Path:
    """A mask of half the resolution, which hides every third pixel and a whole tile."""
    codes = (np.arange(35 * 45, dtype=np.uint8).reshape(35, 45) % 3 == 0).astype(np.uint8)
    codes[:32, :32] = 1
    path = folder / "mask.tif"
    with rasterio.open(path, "w", **GRID, height=35, width=45, count=1, dtype="uint8") as raster:
        raster.write(codes, 1)
    return path


@settings(max_examples=6)
@given(interleaved())
def test_bands_read_together_have_the_bits_of_each_read_alone(files: Files) -> None:
    check(files)


@pytest.mark.slow
@settings(max_examples=30)
@given(interleaved())
def test_bands_read_together_always_have_the_bits_of_each_read_alone(files: Files) -> None:
    check(files)


def check(files: Files) -> None:
    """The bits of each band read alone, the counts of plain numpy, and the bytes and requests of one band."""
    with TemporaryDirectory() as name:
        paths = write(Path(name), files)
        mask = write_mask(Path(name)) if files.masked else None
        job = replace(job_of_any_files(), reader=ReaderName.gdal if files.by_gdal else ReaderName.auto)
        job = replace(job, mask=MaskSettings(values=[1]) if files.masked else job.mask)
        stacks = stacks_of(job, paths, files.bands, mask)
        bands = [shared_of(job, stack, MEANS) for stack in stacks]
        task = task_of(stacks[0])
        results = together(bands, task)
        assert len(results) == len(bands)
        each = [alone(shared, task) for shared in bands]
        for band, own, joint, stack in zip(files.bands, each, results, stacks, strict=True):
            for key, expected in values(own).items():
                np.testing.assert_array_equal(values(joint)[key], expected, key)
            hidden = np.zeros(SIZE, bool) if mask is None else _hidden(mask)
            pixels = np.stack([_read(path, band) for path in paths])  # GDAL fills big-endian blocks with other bytes
            counts = ((pixels != stack.nodata) & ~hidden).sum(axis=0)
            np.testing.assert_array_equal(values(joint)["count time"], counts)
        fetched = FetchCounts()
        for joint in results:
            fetched.add(joint.fetched)
        most = max(own.fetched.bytes for own in each)  # of tiles that are nodata in one band alone, too
        assert fetched.bytes == most
        assert fetched.requests == max(own.fetched.requests for own in each)


def _read(path: Path, band: int) -> np.ndarray:
    with rasterio.open(path) as raster:
        values: np.ndarray = raster.read(band)
    return values


def _hidden(mask: Path) -> np.ndarray:
    with rasterio.open(mask) as raster:
        hidden: np.ndarray = raster.read(1).repeat(2, axis=0).repeat(2, axis=1) == 1
    return hidden


@pytest.mark.parametrize("stages", [(MEDIAN,), (*MEANS, MEDIAN)])
def test_ordered_statistics_of_bands_read_together_are_those_of_each_alone(
    tmp_path: Path, stages: tuple[StagePlan, ...]
) -> None:
    scenes = [speckle((3, *SIZE), "uint16", seed) for seed in range(3)]
    paths = write(tmp_path, Files(scenes, 0, {"compress": "deflate"}, [], by_gdal=False, masked=False))
    job = job_of_any_files()
    stacks = stacks_of(job, paths, [3, 1], None)
    bands, task = [shared_of(job, stack, stages) for stack in stacks], task_of(stacks[0])
    for shared, joint, band in zip(bands, together(bands, task), (3, 1), strict=True):
        median = joint.ordered["median"]["median"]
        np.testing.assert_array_equal(median, alone(shared, task).ordered["median"]["median"])
        np.testing.assert_array_equal(median, np.median([pixels[band - 1] for pixels in scenes], axis=0))


def test_a_band_may_lie_elsewhere_in_each_file(tmp_path: Path) -> None:
    first, second = speckle((2, *SIZE), "uint16", 1), speckle((2, *SIZE), "uint16", 2)
    paths = write(tmp_path, Files([first, second], 0, {"compress": "deflate"}, [], by_gdal=False, masked=False))
    scenes = [replace(scene(path, number), band=1 + number) for number, path in enumerate(paths)]
    job = job_of_any_files()
    stack = make_stack(job.source, scenes)
    swapped = replace(stack, scenes=tuple(scenes))
    other = replace(stack, scenes=tuple(replace(each, band=3 - each.band) for each in scenes))
    results = together([shared_of(job, swapped, MEANS), shared_of(job, other, MEANS)], task_of(stack))
    for result, pixels in zip(results, ((first[0], second[1]), (first[1], second[0])), strict=True):
        np.testing.assert_array_equal(values(result)["mean time"], np.mean(pixels, axis=0, dtype=np.float64))


def test_an_error_of_one_band_is_of_that_band_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [speckle((2, *SIZE), "uint16", 1)]
    paths = write(tmp_path, Files(scenes, 0, {"compress": "deflate"}, [], by_gdal=False, masked=False))
    job = job_of_any_files()
    stacks = stacks_of(job, paths, [1, 2], None)
    bands, task = [shared_of(job, stack, (MEDIAN,)) for stack in stacks], task_of(stacks[0])

    def refuse(*_: object) -> None:
        raise RunnerError("a pixel that no mask hides is the mark")

    rule = bands[1].reading.rule
    monkeypatch.setattr(type(rule), "values", lambda self, *given: refuse() if self is rule else given[0])
    (results,) = run_tasks_of_bands(bands, iter([task]))
    assert isinstance(results[0], TaskResult)
    assert isinstance(results[1], RunnerError)


def test_a_window_of_a_task_is_read_once_too(tmp_path: Path) -> None:
    scenes = [speckle((2, *SIZE), "float32", seed) for seed in range(2)]
    options = {"compress": "deflate", "predictor": "3", "tiled": True, "blockxsize": 64, "blockysize": 64}
    paths = write(tmp_path, Files(scenes, 0, options, [], by_gdal=False, masked=False))
    job = job_of_any_files()
    stacks = stacks_of(job, paths, [1, 2], None)
    bands, task = [shared_of(job, stack, MEANS) for stack in stacks], Task(Window(3, 60, 62, 20), 1, 2)
    for number, joint in enumerate(together(bands, task)):
        for key, expected in values(alone(bands[number], task)).items():
            np.testing.assert_array_equal(values(joint)[key], expected, key)
