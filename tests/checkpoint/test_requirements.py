"""Kept tasks: what a task was masked by decides if it serves again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import block_job, local_source
from masked_scenes import mask_settings, masked_stack, write_mask, write_pair

from runner.checkpoint.remaining import Placed
from runner.checkpoint.requirements import Requirements
from runner.checkpoint.task_file import KeptTask
from runner.engine.trace import TaskTrace
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.records import Task
from runner.read.header import Window
from runner.reduce import KERNELS
from runner.settings import MaskSettings, Over

SCENE = Window(0, 0, 20, 30)
MASK = mask_settings(bits=[1])


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    for day in (1, 2):
        write_pair(tmp_path, day, SCENE, np.ones(SCENE[2:], np.float32))
        write_mask(tmp_path, day, SCENE, np.zeros(SCENE[2:], np.uint8))
    return masked_stack(local_source(tmp_path, url=f"{tmp_path}/*_B.tif"), MASK)


def requirements(stack: Stack, mask: MaskSettings) -> Requirements:
    (pass_,) = make_plan(replace(block_job(), mask=mask), stack).passes
    return Requirements.of(pass_, stack)


def kept(of: Requirements) -> KeptTask:
    task = Task(SCENE, 0, 2)
    return KeptTask(Path("kept"), "scenes", task, of.rule, KERNELS, of.held, {}, TaskTrace(0, task, None, None, 0))


def without_masks(stack: Stack) -> Stack:
    return replace(stack, scenes=tuple(replace(scene, mask=None) for scene in stack.scenes))


def test_a_task_serves_again_while_its_masks_and_their_test_are_the_same(stack: Stack) -> None:
    before = requirements(stack, MASK)
    assert before.place(kept(before), before.scenes) == Placed(SCENE, ((0, 2),))
    other = requirements(stack, mask_settings(bits=[2])).place(kept(before), before.scenes)
    assert "the test of masks was MaskTest(band=1, bits=(1,), " in str(other)


@pytest.mark.parametrize("changed", ["etag", "gone", "new"])
def test_a_task_whose_mask_was_another_is_computed_again(stack: Stack, changed: str) -> None:
    first, second = stack.scenes
    assert second.mask
    replaced = replace(stack, scenes=(first, replace(second, mask=replace(second.mask, etag='"other"'))))
    then, now = {
        "etag": (stack, replaced),
        "gone": (stack, without_masks(stack)),
        "new": (without_masks(stack), stack),
    }[changed]
    before = requirements(then, MASK)
    reason = requirements(now, MASK).place(kept(before), before.scenes)
    assert "has changed: it was ETag" in str(reason) or "the test of masks was None" in str(reason)


def test_needs_are_those_of_the_stages(stack: Stack) -> None:
    assert requirements(stack, MASK).held.keys() == {Over.time, Over.space}


POLYGONS = "its polygons have changed; bring the earlier file back to take over what was kept with it"


@pytest.mark.parametrize(
    ("name", "before", "now", "reason"),
    [
        ("zones.file", "0a1b center", "0a1c center", f"zones.file=f.geojson: {POLYGONS}"),
        ("zones.file", "0a1b center", "0a1b fraction", "zones.pixels was center and is fraction"),
        ("zones.file", None, "0a1b center", "it was kept without stages over zones"),
        ("the area", "0a1b", "0a1c", f"source.area: {POLYGONS}"),
        ("the area", "none", "0a1c", "it was kept without source.area"),
        ("the area", "0a1b", "none", "it was kept within source.area, which is not set now"),
        ("the area of pixels", "0a1b", "0a1c", "the area of pixels has changed"),
        ("nodata", "0", "255", "nodata was 0 and is 255"),
    ],
)
def test_why_a_task_of_other_rules_does_not_serve_is_said_without_digests(
    stack: Stack, name: str, before: str | None, now: str, reason: str
) -> None:
    current = replace(requirements(stack, MASK), zones_key="zones.file=f.geojson")
    current = replace(current, rule={**current.rule, name: now})
    task = replace(kept(current), rule={**current.rule} | ({name: before} if before else {}))
    if before is None:
        del task.rule[name]
    assert current.place(task, current.scenes) == reason
