"""A worker on another machine that is cut off in the middle of a stack: the bits of one machine, in the stated time."""

import sys
import time
from pathlib import Path

import numpy as np
import passes
import pytest
from dask_cluster import dask_cluster
from jobs import compose, found_stack
from network_namespaces import HERE, Machine, can_be_made, machines
from scenes_on_disk import speckle, write_scene

from runner.engine.compute import compute_pass
from runner.engine.observer import Observer
from runner.engine.trace import TaskTrace
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.preview import stores_of
from runner.settings import JobSettings

SILENT_SECONDS = 10.0
TASKS_BEFORE = 20


class Cut(Observer):
    """Cuts a machine off as soon as each of two workers has done some tasks."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.done_by: dict[str, int] = {}
        self.is_cut = False
        self.longest_wait, self._last = 0.0, time.monotonic()  # between two tasks that are done after the cut

    def done(self, trace: TaskTrace) -> None:
        assert trace.place is not None
        self.done_by[trace.place.worker] = self.done_by.get(trace.place.worker, 0) + 1
        now = time.monotonic()
        if self.is_cut:
            self.longest_wait = max(self.longest_wait, now - self._last)
        elif len(self.done_by) == 2 and min(self.done_by.values()) > TASKS_BEFORE:
            self.machine.cut_off()
            self.is_cut = True
        self._last = now


def stack_of(folder: Path) -> tuple[JobSettings, Stack]:
    """Two scenes, in tasks of one tile each."""
    for day in (1, 2):
        pixels = speckle((1024, 1024), seed=day)
        write_scene(folder / f"2020010{day}.tif", pixels, blockxsize=64, blockysize=64, predictor=3)
    job = compose(
        "source=local", f"source.url={folder}/*.tif", r"source.datetime_regex=(?P<date>\d{8})", "chunks=block"
    )
    return job, found_stack(job.source, stores_of(job))


@pytest.mark.slow
def test_a_worker_that_is_cut_off_costs_a_span_of_silence_and_no_bit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not can_be_made():
        pytest.skip("network namespaces need root and iproute2")
    job, stack = stack_of(tmp_path / "scenes")
    expected = passes.computed(job, stack)
    with machines(2) as (stays, leaves), dask_cluster(tmp_path / "dask", 0, "--host", HERE) as cluster:
        for machine in (stays, leaves):
            python = machine.python(tmp_path, sys.executable)
            cluster.start_worker(machine.name, "--host", machine.address, python=python)
        for stage in job.stages.values():
            stage.cluster = compose(
                "cluster=address", f"cluster.address={cluster.address}", "cluster.n_workers=2",
                f"cluster.silent_timeout={SILENT_SECONDS}",
            ).stages["spatial_mean"].cluster  # fmt: skip
        (pass_,) = make_plan(job, stack).passes
        cut = Cut(leaves)
        found = compute_pass(pass_, stack, cut)[0].values
    assert cut.is_cut
    assert f"was silent for {SILENT_SECONDS:g} s and is given up" in caplog.text
    assert cut.longest_wait < 3 * SILENT_SECONDS
    for name, statistics in expected.items():
        for statistic, values in statistics.items():
            np.testing.assert_array_equal(found[name][statistic], values)
