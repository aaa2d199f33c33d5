"""A value that too few valid pixels make is missing: every statistic, both engines, over space and time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from jobs import compose, found_stack, local_source
from marks import few_quick
from scenes_on_disk import write_scene

from runner.engine.compute import compute_pass
from runner.engine.results import Values
from runner.planning.planner import make_plan
from runner.reduce.partial import Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.statistics import Statistic, needs
from runner.reduce.temporal import TemporalSums
from runner.settings import JobSettings

NAMES = ["count", "valid_fraction", "sum", "mean", "min", "max", "var", "std", "median", "q25"]
SHAPE = (3, 20, 40)


def scenes() -> npt.NDArray[np.float32]:
    """Three scenes, nodata 0: every number of valid pixels there can be, and a scene without any."""
    stack = np.random.default_rng(0).integers(1, 9, SHAPE).astype(np.float32)
    stack[0] = 0
    stack[1, :, :20] = 0
    stack[2, :5] = 0
    return stack


def expected(stack: npt.NDArray[np.float32], axes: tuple[int, ...], min_count: int) -> dict[str, Values]:
    """Plain numpy's values, NaN where fewer pixels are valid."""
    valid = np.ma.masked_equal(stack.astype(np.float64), 0)
    counts = valid.count(axes)
    found = {name: getattr(valid, name)(axes).filled(np.nan) for name in ("mean", "min", "max", "var", "std")}
    found["sum"] = valid.filled(0).sum(axes)
    cells = np.moveaxis(valid.filled(np.nan), 0, -1) if axes == (0,) else valid.filled(np.nan).reshape(len(stack), -1)
    for name, fraction in (("median", 0.5), ("q25", 0.25)):
        found[name] = np.full(counts.shape, np.nan)
        found[name][counts > 0] = np.nanquantile(cells[counts > 0], fraction, axis=-1)
    sizes = counts / np.prod([stack.shape[axis] for axis in axes])
    return {name: np.where(counts < min_count, np.nan, values) for name, values in found.items()} | {
        "count": counts,
        "valid_fraction": sizes,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for day, pixels in enumerate(scenes(), start=1):
        write_scene(folder / f"2020010{day}.tif", pixels)
    return folder


def job_of(folder: Path, engine: str, counts: tuple[int, int]) -> JobSettings:
    over = zip(("spatial_mean", "temporal_mean"), counts, strict=True)
    settings = [
        f"stages.{name}.{key}={value}"
        for name, count in over
        for key, value in (("min_count", count), ("statistics", f"[{','.join(NAMES)}]"), ("cluster.kind", "sync"))
    ]
    job = compose(f"engine={engine}", "output.raster_dtype=float64", *settings)
    return replace(job, source=local_source(folder))


@pytest.mark.parametrize("counts", [(0, 0), (1, 1), (401, 2), (800, 3)])
@pytest.mark.parametrize("engine", few_quick(["block", "xarray"]))
def test_a_value_of_fewer_pixels_is_missing(folder: Path, engine: str, counts: tuple[int, int]) -> None:
    job = job_of(folder, engine, counts)
    stack = found_stack(job.source)
    found: dict[str, dict[str, Values]] = {}
    for one in make_plan(job, stack).passes:
        found |= compute_pass(one, stack)[0].values
    for stage, axes, least in zip(("spatial_mean", "temporal_mean"), ((1, 2), (0,)), counts, strict=True):
        for name, values in expected(scenes(), axes, least).items():
            np.testing.assert_allclose(found[stage][name], values, rtol=1e-12, err_msg=f"{stage} {name}")


def spread(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """As another package may write it: of nothing, a number."""
    return np.nansum(values, axis=axis)


PLUGINS = [
    Statistic(name="a", of_values=spread),
    Statistic(
        name="b", finish=lambda partial: partial.counts * 2, reference=lambda values, valid, dims: valid.sum(dims)
    ),
]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_statistics_of_other_packages_follow_the_rule_in_both_engines(plugin: Statistic) -> None:
    stack = scenes()
    counts = np.count_nonzero(stack, axis=0)
    plain = plugin.finish(partial_of(stack)) if plugin.finish else spread(np.where(stack, stack, np.nan), 0)
    found = plugin.where_enough(plain, counts, 2)
    values = xr.DataArray(da.from_array(stack, (1, 7, 40)), dims=("time", "y", "x"))
    lazy = plugin.from_xarray(values, values != 0, ("time",), 2).compute().to_numpy()
    assert np.isnan(found[counts < 2]).all()
    assert np.isfinite(found[counts >= 2]).all()
    assert np.isnan(lazy[counts < 2]).all()


def partial_of(stack: npt.NDArray[np.float32], names: Sequence[str] = ("sum",)) -> Partial:
    sums = TemporalSums(stack.shape[1:], Pixels(stack.dtype, 0), needs(names))
    for scene in stack:
        sums.add_tile(scene.copy(), Place(0, 0, 0, 0, *scene.shape))
    return sums.partial()
