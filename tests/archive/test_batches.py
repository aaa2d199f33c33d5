"""Batches of stacks that are read together, and their shares of what is read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from drawn_tiffs import GRID
from hypothesis import given
from hypothesis import strategies as st
from jobs import compose
from task_scenes import scene

from runner.archive.batches import Planned, batches, of_same_files, shared_plan
from runner.archive.turns import own_bytes
from runner.base.shares import share_of
from runner.planning.memory import PROCESS_BYTES
from runner.planning.planner import make_plan
from runner.source.parts import Part
from runner.source.stack import make_stack

ROOMY = 2**40


def planned(
    folder: Path, bands: Sequence[int], *words: str, interleave: str = "pixel", count: int = 3, **header: Any
) -> list[Planned]:
    """Stacks of bands of one file of bytes, with their plans."""
    path, shape = folder / "20200101.tif", {"height": 20, "width": 30, "count": count, "dtype": "uint8"}
    with rasterio.open(path, "w", **GRID, **shape, interleave=interleave) as raster:
        raster.write(np.ones((count, 20, 30), np.uint8))
    job = compose("source=local", f"source.url={folder}/*.tif", *words)
    first = scene(path, 0)
    first = replace(first, header=replace(first.header, **header))
    stacks = [make_stack(replace(job.source, band=band), [first]) for band in bands]
    return [Planned(stack, make_plan(job, stack)) for stack in stacks]


def test_bands_of_the_same_tiles_are_one_batch(tmp_path: Path) -> None:
    assert batches(planned(tmp_path, [3, 1, 2]), ROOMY) == [[0, 1, 2]]


def test_bands_that_lie_apart_are_read_on_their_own(tmp_path: Path) -> None:
    assert batches(planned(tmp_path, [1, 2], interleave="band"), ROOMY) == [[0], [1]]


def test_an_alpha_band_is_read_apart_from_those_that_it_masks(tmp_path: Path) -> None:
    assert batches(planned(tmp_path, [1, 4, 2], count=4), ROOMY) == [[0, 2], [1]]


def test_the_xarray_engine_reads_each_band_on_its_own(tmp_path: Path) -> None:
    assert batches(planned(tmp_path, [1, 2], "engine=xarray"), ROOMY) == [[0], [1]]


def test_bands_of_which_pixels_become_wider_are_cut_into_other_tasks_and_read_apart(tmp_path: Path) -> None:
    stacks = planned(tmp_path, [1, 2, 3], scales=(1.0, 0.5, 1.0))
    cut = replace(stacks[1].plan, passes=tuple(replace(each, tasks=each.tasks * 2) for each in stacks[1].plan.passes))
    assert batches([stacks[0], stacks[1]._replace(plan=cut), stacks[2]], ROOMY) == [[0, 2], [1]]


def test_a_batch_holds_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    stacks = planned(tmp_path, [1, 2, 3])
    limit = PROCESS_BYTES + 2 * own_bytes(stacks[0].plan)
    assert batches(stacks, limit) == [[0, 1], [2]]
    assert batches(stacks, PROCESS_BYTES) == [[0], [1], [2]]


def test_a_batch_holds_no_more_than_a_worker_may_have(tmp_path: Path) -> None:
    (stack,) = planned(tmp_path, [1], "cluster=processes")
    needed = max(each.worker_bytes or 0 for each in stack.plan.passes)
    limit = f"cluster.memory_limit={2 * needed - PROCESS_BYTES + 1000}"
    assert batches(planned(tmp_path, [1, 2, 3], "cluster=processes", limit), ROOMY) == [[0, 1], [2]]


def test_shares_of_a_plan_add_up_to_what_is_read(tmp_path: Path) -> None:
    stacks = planned(tmp_path, [1, 2, 3])
    shares = [shared_plan(stack.plan, number, 3).passes[0].cost for number, stack in enumerate(stacks)]
    cost = stacks[0].plan.passes[0].cost
    assert sum(share.stored_bytes for share in shares) == cost.stored_bytes
    assert sum(share.requests or 0 for share in shares) == cost.requests == 1
    assert shared_plan(stacks[0].plan, 0, 1) is stacks[0].plan


@given(st.integers(0, 10**12), st.integers(1, 300))
def test_shares_of_a_number_add_up_and_are_almost_equal(total: int, of: int) -> None:
    shares = [share_of(total, number, of) for number in range(of)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(("bands", "sizes"), [((None, None), [1, 1]), ((1, 2), [2]), ((*range(1, 131),), [64, 64, 2])])
def test_stacks_of_bands_of_the_same_files_go_together_up_to_some(
    bands: tuple[int | None, ...], sizes: list[int]
) -> None:
    parts = [Part(f"{number}", {}, (), band) for number, band in enumerate(bands)]
    groups = of_same_files(parts)
    assert [len(group) for group in groups] == sizes
    assert [part for group in groups for part in group] == parts
