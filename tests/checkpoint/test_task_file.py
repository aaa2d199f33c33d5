"""A task comes back from its file as it was, to the bit and to the shape."""

from pathlib import Path

import numpy as np
import pytest

from runner.checkpoint.task_file import Rules, read_result, read_task, write_task
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace
from runner.planning.records import Task
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.read.inflation import InflateCounts
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Partial
from runner.settings import Over

TASK = Task(Window(0, 0, 3, 4), 0, 5)
BITS = np.random.default_rng(1).integers(0, 2**63, (2, 3, 4), np.uint64)
WIDE = Wide(np.arange(24).reshape(2, 3, 4), 3, np.zeros((3, 4), np.int8))


@pytest.mark.parametrize("wide", [None, WIDE], ids=["two floats", "limbs"])
@pytest.mark.parametrize("unused", range(9))
def test_a_kept_task_is_read_back_the_same(tmp_path: Path, unused: int, wide: Wide | None) -> None:
    layers = (BITS >> np.uint64(8 * unused) << np.uint64(8 * unused) if unused < 8 else BITS * 0).view(np.float64)
    total = Total(layers.reshape(2, -1), wide)
    partial = Partial(np.array(5), np.full((3, 4), 5, np.int32), total, extremes=np.asfortranarray(BITS.view("f8")))
    ordered = {"medians": {"median": BITS[0].view(np.float64)[:, ::2]}}
    result = TaskResult(TASK, {0: partial}, None, ordered, FetchCounts(), InflateCounts(), 0.0, 0.0)
    rules = Rules("0" * 32, {}, {"medians": Over.time})
    written, size = write_task(tmp_path, rules, result, TaskTrace(0, TASK, None, None, 0.0))
    kept = read_task(written.path)
    assert kept == written
    assert written.path.stat().st_size == size
    found = read_result(kept, TASK, kept.held, {"medians": (Over.time, {"median": "median"})})
    assert found.over_time
    expected = partial.arrays()
    assert {name: (array.shape, array.tobytes()) for name, array in found.over_time[0].arrays().items()} == {
        name: (array.shape, array.tobytes()) for name, array in expected.items()
    }
    np.testing.assert_array_equal(found.ordered["medians"]["median"].view("u8"), BITS[0][:, ::2])
