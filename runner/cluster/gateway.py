"""A cluster that a dask-gateway server starts, and that ends with the stage."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from runner.cluster.started import Started, options_of
from runner.errors import ClusterError
from runner.settings import ClusterSettings


@contextmanager
def gateway(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Ask the server for a cluster of these options, scale it, and shut it down at the end. Raises ClusterError."""
    from dask_gateway import Gateway, GatewayCluster  # noqa: PLC0415 - an extra

    del loop  # it has its own
    with ExitStack() as exits:
        with _explained(settings):
            server = exits.enter_context(Gateway(settings.address, auth=settings.auth))
            cluster = exits.enter_context(
                GatewayCluster(
                    address=settings.address, auth=settings.auth, shutdown_on_close=True, **options_of(settings)
                )
            )
            if settings.adapt.maximum is None:
                cluster.scale(settings.n_workers or 1)
            else:
                cluster.adapt(minimum=settings.adapt.minimum, maximum=settings.adapt.maximum)
        yield Started(cluster, cluster.security, explain=lambda: f"look at the logs of {server.address}")


@contextmanager
def _explained(settings: ClusterSettings) -> Iterator[None]:
    from dask_gateway import GatewayClusterError, GatewayServerError  # noqa: PLC0415 - an extra

    try:
        yield
    except (GatewayClusterError, GatewayServerError, OSError, ValueError, TypeError, TimeoutError) as error:
        where = f" at {settings.address}" if settings.address else ""
        raise ClusterError(
            f"the gateway{where} gives no cluster ({' '.join(str(error).split()) or type(error).__name__}); look at "
            "cluster.address, cluster.auth, cluster.options and the server's log"
        ) from error
