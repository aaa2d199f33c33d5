"""What every worker gets before its first task, also one that comes late: a check of its versions, options, limits.

A plugin of dask brings it to the workers. Its class is sent by value, since a worker may have another version of this
package, or none.
"""

import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Final, NamedTuple
from uuid import uuid4

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin

from runner.base.console import tell
from runner.base.humanize import plural
from runner.cluster.answers import SILENCE_SECONDS, answer_of
from runner.cluster.keys import key_of
from runner.cluster.liveness import Liveness
from runner.cluster.versions import finder, versions_here
from runner.errors import ClusterError
from runner.host.open_files import allow_many_files
from runner.read.gdal_environment import restore_environment

_LEAVING_SECONDS: Final = 2.0  # for workers to undo the setup of a run that has failed
_TOPIC: Final = "cog-stack-runner"  # of events about workers

log = logging.getLogger(__name__)


class Setup(NamedTuple):
    """GDAL options, and what a worker calls before its first task; an exception of it refuses the worker."""

    options: Mapping[str, str]
    prepare: Callable[[], object] | None = None
    only_warn: bool = False  # of other versions


@contextmanager
def workers_set_up(client: Any, liveness: Liveness, setup: Setup) -> Iterator[None]:
    """Set up all workers, and those that come meanwhile; they get their own options back at the end.

    Raises ClusterError for a worker that is there and cannot be used. One that comes later is sent away.
    """
    name = f"{_TOPIC}-{uuid4().hex}"
    known = frozenset(liveness.ask(client.nthreads))
    client.subscribe_topic(_TOPIC, _told)
    liveness.ask(client.register_plugin, _cleaner(name, client.id), f"{name}-cleaner")
    try:
        with _told_if_slow(known):
            liveness.ask(client.register_plugin, _worker_plugin(name, setup, known), name)
        _refuse_unfit(liveness.ask(client.run, _problem_of(name)))
        yield
    except BaseException:  # do not wait for workers that may hang: the scheduler cleans up once this client is gone
        with suppress(ClusterError):
            _undo(client, name, liveness, _LEAVING_SECONDS)
        raise
    with suppress(ClusterError):  # the scheduler is gone, as the run's error says
        _undo(client, name, liveness, liveness.seconds)


@contextmanager
def _told_if_slow(workers: frozenset[str]) -> Iterator[None]:
    """Say what is waited for, if that takes more than two seconds."""
    setting_up = f"setting up {plural(len(workers), 'worker')}"
    what = f"{setting_up}, and compiling there what is not on their disks, which takes some seconds once"
    timer = threading.Timer(SILENCE_SECONDS, copy_context().run, (tell, what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _refuse_unfit(problems: Mapping[str, str | None]) -> None:
    for worker, problem in problems.items():
        if problem:
            raise ClusterError(f"worker {worker}: {problem}")


def _undo(client: Any, name: str, liveness: Liveness, seconds: float) -> None:
    """Give workers their own options back. Raises ClusterError if that takes longer."""
    stop = time.monotonic() + seconds

    def refuse_to_wait() -> None:
        liveness.check()
        if time.monotonic() > stop:
            raise ClusterError("workers do not answer")

    liveness.check()
    with suppress(OSError):  # as a closed connection, or a timeout
        answer_of(lambda: client.unregister_worker_plugin(name), refuse_to_wait)
        answer_of(lambda: client.unregister_scheduler_plugin(f"{name}-cleaner"), refuse_to_wait)


def set_up(options: Mapping[str, str], prepare: Callable[[], object] | None) -> dict[str, str | None]:
    """Set up this worker process. Returns the former values of the options. Raises ClusterError."""
    allow_many_files()
    before = {name: os.environ.get(name) for name in options}
    os.environ.update(options)
    if prepare is not None:
        prepare()
    return before


def _told(event: tuple[float, Mapping[str, str]]) -> None:
    _, facts = event
    log.warning("worker %s: %s", facts["worker"], facts["problem"])
    tell(f"worker {facts['worker']}: {facts['problem']}")


def _preparation(setup: Setup) -> Callable[[], tuple[str | None, str | None, Callable[[], object]]]:
    """A function, sent by value as the plugin, that sets up the process of a worker.

    It returns a warning, or a problem for which the worker cannot be used, and the way back.
    """
    find, ours, only_warn = finder(), dict(versions_here()), setup.only_warn
    remedy = f", or set {key_of('versions')}=warn"
    steps = pickle.dumps((set_up, restore_environment, dict(setup.options), setup.prepare))

    def prepared() -> "tuple[str | None, str | None, Callable[[], object]]":
        import pickle  # noqa: PLC0415 - the worker's own

        theirs = find()
        other = ", ".join(f"{one} {theirs[one]}, here {ours[one]}" for one in ours if theirs[one] != ours[one])
        missing = theirs["cog-stack-runner"] == "missing"
        if other and (missing or not only_warn):
            also = "" if missing else remedy
            return None, f"it has {other}; install there what is here{also}", lambda: None
        try:
            set_up, restore, options, prepare = pickle.loads(steps)  # noqa: S301 - as every task is
            before = set_up(options, prepare)
        except Exception as error:  # noqa: BLE001 - whatever it is, this worker cannot be used
            return None, f"{error}" or type(error).__name__, lambda: None
        return other and f"it has {other}; results may differ in bits", None, lambda: restore(before)

    return prepared


def _worker_plugin(name: str, setup: Setup, known: frozenset[str]) -> WorkerPlugin:
    """The plugin that sets up a worker. Those that are not `known` leave if they cannot be used."""
    prepared, topic = _preparation(setup), _TOPIC

    class WorkerSetup(WorkerPlugin):
        problem: str | None = None
        undo: "Callable[[], object]" = staticmethod(lambda: None)

        def __init__(self, name: str) -> None:
            self.name = name

        async def setup(self, worker: Any) -> None:
            import asyncio  # noqa: PLC0415 - the worker's own

            warning, self.problem, self.undo = await asyncio.to_thread(prepared)
            for said in filter(None, (warning, self.problem)):
                worker.log_event(topic, {"worker": worker.address, "problem": said})
            if self.problem and worker.address not in known:
                await worker.close_gracefully(reason=self.problem)

        def teardown(self, worker: Any) -> None:  # noqa: ARG002 - dask's signature
            self.undo()

    return WorkerSetup(name)


def _problem_of(name: str) -> Callable[..., "str | None"]:
    def problem(dask_worker: Any) -> "str | None":
        plugin = dask_worker.plugins.get(name)
        return plugin.problem if plugin is not None else "it did not take the setup of this run; look at its log"

    return problem


def _cleaner(name: str, client_id: str) -> SchedulerPlugin:
    """A plugin of the scheduler that forgets the setup of a client that is gone, such as a driver that was killed."""

    class Cleaner(SchedulerPlugin):
        def remove_client(self, scheduler: Any, client: str) -> None:
            import asyncio  # noqa: PLC0415 - the scheduler's own

            if client == client_id and name in scheduler.worker_plugins:
                self.task = asyncio.ensure_future(scheduler.unregister_worker_plugin(comm=None, name=name))

    return Cleaner()
