"""A cluster that a dask-gateway server starts, and that ends with the stage."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from runner.base.humanize import one_line
from runner.cluster.demand import Demand
from runner.cluster.keys import key_of
from runner.cluster.started import Started, options_of
from runner.errors import ClusterError
from runner.settings import AdaptSettings, ClusterSettings


@contextmanager
def gateway(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Ask the server for a cluster of these options, scale it, and shut it down at the end. Raises ClusterError."""
    from dask_gateway import GatewayCluster  # noqa: PLC0415 - an extra

    del loop  # it has its own
    with ExitStack() as exits:
        with _explained(settings):
            cluster = GatewayCluster(
                address=settings.address, auth=settings.auth, shutdown_on_close=True, **options_of(settings)
            )
            exits.callback(_closed, cluster)
            follower = _Follower(cluster, settings.adapt) if settings.adapt.maximum else None
            if follower:
                follower()
            else:
                cluster.scale(settings.n_workers or 1)
        yield Started(
            cluster,
            cluster.security,
            nannies=False,  # the gateway itself starts another, and would end what a nanny has started
            renew=follower or (lambda: None),
            replace=lambda _: True,
            explain=lambda: f"look at the logs of cluster {cluster.name}",
            demand=follower.demand if follower else Demand(),
        )


@dataclass(slots=True)
class _Follower:
    """Called every few seconds: lets there be as many workers as the work that is left keeps busy."""

    cluster: Any
    settings: AdaptSettings
    demand: Demand = field(default_factory=Demand)
    _minimum: int = 0

    def __call__(self) -> None:
        minimum = self.demand.workers(self.settings)
        if minimum != self._minimum:
            self.cluster.adapt(minimum=minimum, maximum=self.settings.maximum)
            self._minimum = minimum


def _closed(cluster: Any) -> None:
    """Shut the cluster down. When it is collected, it would be closed once more, and print that it cannot be."""
    cluster.close()
    cluster.gateway._asynchronous = True  # noqa: SLF001 - for which nothing is closed then


@contextmanager
def _explained(settings: ClusterSettings) -> Iterator[None]:
    from dask_gateway import GatewayClusterError, GatewayServerError  # noqa: PLC0415 - an extra

    try:
        yield
    except (GatewayClusterError, GatewayServerError, OSError, ValueError, TypeError, TimeoutError) as error:
        where = f" at {settings.address}" if settings.address else ""
        raise ClusterError(
            f"the gateway{where} gives no cluster ({one_line(error) or type(error).__name__}); look at "
            f"{key_of('address')}, {key_of('auth')}, {key_of('options')} and the server's log"
        ) from error
