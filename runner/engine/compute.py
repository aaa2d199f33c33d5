"""One pass from its plan to its statistics: the cluster is opened, an engine computes, usage is measured."""

import logging
import time
from functools import partial as bind

from runner.cluster.open import Clusters
from runner.cluster.workers import Cluster
from runner.engine import block_engine
from runner.engine.block_engine import Checkpoint
from runner.engine.observer import Observer, failures_observed
from runner.engine.results import PassResult, PassUsage
from runner.engine.worker_preparation import prepared
from runner.model import Stack
from runner.planning.records import Pass
from runner.read.gdal_environment import options_in_force
from runner.settings import EngineName

log = logging.getLogger(__name__)


def compute_pass(
    pass_: Pass,
    stack: Stack,
    observer: Observer | None = None,
    checkpoint: Checkpoint | None = None,
    clusters: Clusters | None = None,
) -> tuple[PassResult, PassUsage]:
    """Compute the stages of a pass on its cluster. `checkpoint` adds the tasks that are not in the pass.

    Without `clusters` the pass opens one for itself. Raises RunnerError.
    """
    observer, options, clusters = observer or Observer(), pass_.reading.gdal_options, clusters or Clusters()
    started, strangers = time.monotonic(), clusters.known_processes()
    prepare = bind(prepared, pass_.reading, stack.scenes[0], kernels=pass_.engine is EngineName.block)
    with clusters.opened(pass_.cluster, options, prepare) as cluster, clusters.measured(strangers) as usage:
        opened = time.monotonic()
        in_force = cluster.everywhere(options_in_force, sorted(options))
        observer.opened(cluster.size, in_force, opened - started)
        log.info("%s: %s, GDAL options %s", pass_.name, cluster.size, in_force, extra={"pass": pass_.name})
        with failures_observed(cluster.watch, observer) as losses:
            result = _run(pass_, stack, cluster, observer, checkpoint)
        computed, elsewhere = time.monotonic(), cluster.watch.elsewhere()
        size = cluster.size
    return result, PassUsage(
        size=size,
        compute_seconds=computed - opened,
        peak_bytes=usage.peak_bytes + elsewhere.peak_bytes,
        cpu_seconds=usage.cpu_seconds + elsewhere.cpu_seconds,
        workers_lost=len(losses),
    )


def _run(pass_: Pass, stack: Stack, cluster: Cluster, observer: Observer, checkpoint: Checkpoint | None) -> PassResult:
    if pass_.engine is EngineName.xarray:
        from runner.engine import xarray_engine  # noqa: PLC0415 - a second of imports that the block engine spares

        return xarray_engine.run_pass(pass_, stack, cluster, observer)
    return block_engine.run_pass(pass_, stack, cluster, observer, checkpoint)
