"""Files in one strip: cut as rarely as memory allows, and the plan says how often a strip is decoded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose, found_stack, local_source
from scenes_on_disk import speckle, write_scene

from runner.errors import PlanError
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.reading import make_reading
from runner.planning.records import Pass
from runner.summary import show_plan

HEIGHT, WIDTH = 26_000, 20_000
STORED = 200 * 2**20  # bytes of the strip
SPATIAL = "~stage@stages.temporal_mean"


def in_strips(stack: Stack, rows: int) -> Stack:
    """Scenes of 26,000 x 20,000 bytes in strips of `rows` rows."""
    count = -(-HEIGHT // rows)
    changes = {"width": WIDTH, "height": HEIGHT, "tile_height": rows, "tile_width": WIDTH, "tiled": False, "bits": 8}
    changes |= {"tiles_down": count, "tiles_across": 1, "dtype": "uint8", "compression": "deflate"}
    changes |= {"offsets": np.arange(1, count + 1, dtype=np.uint64).reshape(1, count, 1) * np.uint64(STORED)}
    changes |= {"byte_counts": np.full((1, count, 1), STORED // count, np.uint64)}
    header = stack.scenes[0].header
    header = replace(header, layout=replace(header.layout, **changes), dtype="uint8")
    scenes = tuple(replace(scene, header=header) for scene in stack.scenes)
    grid = replace(stack.grid, height=HEIGHT, width=WIDTH)
    return replace(stack, grid=grid, dtype=np.dtype(np.uint8), nodata=0, scenes=scenes)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    for day in (1, 2, 3):
        write_scene(tmp_path / f"2020010{day}.tif", speckle((60, 50)))
    return found_stack(local_source(tmp_path))


def pass_of(stack: Stack, gibibytes: float, *overrides: str, threads: int = 1) -> Pass:
    stages = ["spatial_mean"] if SPATIAL in overrides else ["spatial_mean", "temporal_mean"]
    words = [f"stages.{name}.cluster.memory_limit={gibibytes}GiB" for name in stages]
    words += [f"stages.{name}.cluster.threads_per_worker={threads}" for name in stages]
    return make_plan(compose(*words, *overrides), stack).passes[0]


def test_a_strip_is_decoded_once_where_only_scenes_are_summed(stack: Stack) -> None:
    one = pass_of(in_strips(stack, HEIGHT), 8, SPATIAL)
    assert one.cost.over_read == 1
    assert one.chunks[1:] == (HEIGHT, WIDTH)


@pytest.mark.parametrize(("gibibytes", "times"), [(12.25, 16), (20, 4), (40, 2), (80, 1)])
def test_a_strip_is_decoded_as_rarely_as_memory_allows(stack: Stack, gibibytes: float, times: int) -> None:
    one = pass_of(in_strips(stack, HEIGHT), gibibytes)
    assert one.cost.over_read <= times
    assert one.worker_bytes is not None
    assert one.worker_bytes <= gibibytes * 2**30


def test_strips_are_kept_whole_where_they_fit(stack: Stack) -> None:
    assert pass_of(in_strips(stack, 1300), 16).cost.over_read == 1


@pytest.mark.parametrize(("rows", "together"), [(200, 8), (1300, 5), (HEIGHT, 1)])
def test_fewer_large_blocks_are_decoded_together(stack: Stack, rows: int, together: int) -> None:
    large = in_strips(stack, rows)
    assert make_reading(compose(), large).fetch.scenes_together == together


def test_what_a_large_strip_takes_is_planned(stack: Stack) -> None:
    one = pass_of(in_strips(stack, HEIGHT), 16, SPATIAL)
    assert one.worker_bytes is not None
    assert one.worker_bytes > HEIGHT * WIDTH + 3 * STORED  # decoded; decoded from, fetched ahead, on its way


def test_a_plan_that_does_not_fit_says_that_the_files_can_be_rewritten(stack: Stack) -> None:
    with pytest.raises(PlanError, match=r"or rewrite the files, whose tiles of 26000 x 20000 .*gdal_translate -of COG"):
        pass_of(in_strips(stack, HEIGHT), 2)


@pytest.mark.parametrize(("gibibytes", "times"), [(5.5, "16.0 times"), (80, "once")])
def test_the_plan_says_how_often_a_strip_is_decoded(
    stack: Stack, capsys: pytest.CaptureFixture[str], gibibytes: float, times: str
) -> None:
    large = in_strips(stack, HEIGHT)
    words = [f"stages.{name}.cluster.memory_limit={gibibytes}GiB" for name in ("spatial_mean", "temporal_mean")]
    words += [f"stages.{name}.cluster.threads_per_worker=1" for name in ("spatial_mean", "temporal_mean")]
    show_plan(make_plan(compose(*words), large), large)
    assert f"tiles of 26000 x 20000 (520 MB) is decoded {times}; " in " ".join(capsys.readouterr().out.split())
