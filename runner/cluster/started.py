"""What starts a cluster gives: a scheduler to connect to, and what is known about its workers.

A package adds a kind of cluster by an entry point of the group `cog_stack_runner.clusters` that names a `StartCluster`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from runner.cluster.demand import Demand
from runner.settings import ClusterSettings

GROUP: Final = "cog_stack_runner.clusters"


class Expected(NamedTuple):
    """Worker processes, with threads and bytes of each (None: unknown), as the plan counts on them."""

    processes: int
    threads: int
    memory_bytes: int | None
    guess: str = ""  # why processes or threads are only assumed, and what would tell


@dataclass(frozen=True, slots=True)
class Started:
    """A scheduler that runs, and whose workers are there or on their way.

    `scheduler` is what `distributed.Client` takes: an address or a cluster object. `security` is a
    `distributed.Security`, or None. Workers that are `elsewhere` are not processes below this one. `renew` is called
    every few seconds and starts workers in place of those that have ended. A silent worker is ended by the nanny beside
    it, which starts another; not without `nannies`, as where workers are others' own. `replace` is told the address of
    one that no nanny has ended; it ends that worker, if it can, and returns True if another takes its place.
    `explain` says why no worker has come: what the queue says, or where the logs are. `demand` is told what is left to
    do; a `renew` that knows it can let the number of workers follow.
    """

    scheduler: Any
    security: Any = None
    elsewhere: bool = True
    nannies: bool = True
    renew: Callable[[], None] = lambda: None
    replace: Callable[[str], bool] = lambda _: False
    explain: Callable[[], str] = lambda: ""
    demand: Demand = field(default_factory=Demand)


def options_of(settings: ClusterSettings) -> dict[str, Any]:
    """The options by name: whole numbers, numbers, true and false as such, everything else as text."""
    return dict(_option(word) for word in settings.options)


def _option(word: str) -> tuple[str, Any]:
    name, _, text = word.partition("=")
    for kind in (int, float):
        with suppress(ValueError):
            return name, kind(text)
    return name, {"true": True, "false": False}.get(text, text)


class StartCluster(Protocol):
    """Starts a cluster, or reaches one, and stops what it started at the end of the context.

    `loop` is a running event loop (`tornado.ioloop.IOLoop`) that dask's cluster objects take; it may be left unused.
    Raises `runner.errors.ClusterError` with what to do.
    """

    def __call__(self, settings: ClusterSettings, loop: Any) -> AbstractContextManager[Started]:
        """The cluster of these settings."""
