"""The client of a scheduler, and errors of connecting explained."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from runner.base.humanize import one_line
from runner.cluster.keys import key_of
from runner.cluster.started import Started
from runner.errors import ClusterError
from runner.host.garbage import collection_paused
from runner.settings import ClusterKind, ClusterSettings


@contextmanager
def connected(settings: ClusterSettings, started: Started, loop: Any) -> Iterator[Client]:
    """A client of the scheduler. Raises ClusterError if it does not answer, or does not trust this process."""
    with connection_explained(settings), collection_paused():  # as in `event_loop`
        client = Client(
            started.scheduler,
            loop=loop,
            security=started.security,
            timeout=settings.start_timeout,
            set_as_default=False,
        )
    with client:
        yield client


@contextmanager
def connection_explained(settings: ClusterSettings) -> Iterator[None]:
    """Raise ClusterError if no scheduler answers, or only one that wants certificates."""
    try:
        yield
    except (TypeError, ssl.SSLError) as error:
        raise _not_trusted(settings, error) from error
    except (OSError, TimeoutError, ValueError) as error:
        if isinstance(error.__cause__, ssl.SSLError) or "TLS" in str(error):
            raise _not_trusted(settings, error.__cause__ or error) from error
        if settings.kind is not ClusterKind.address:
            raise ClusterError(
                f"the dask scheduler of {key_of()}={settings.kind.value} does not answer ({one_line(error)})"
            ) from error
        raise ClusterError(
            f"no dask scheduler answers at {settings.address} (wanted tcp://host:port, or tls://host:port with "
            f"{key_of('tls')}): start one with 'dask scheduler', or choose processes"
        ) from error


def _not_trusted(settings: ClusterSettings, error: BaseException) -> ClusterError:
    where = f"the dask scheduler at {settings.address} cannot be asked"
    if isinstance(error, TypeError):
        return ClusterError(
            f"{where}: dask has no certificates for TLS here; name them in {key_of('tls')}.ca_file, cert_file and "
            "key_file, or in dask's own config (distributed.comm.tls)"
        )
    return ClusterError(
        f"{where}: TLS failed ({one_line(error)}); the certificates of {key_of('tls')} must be of "
        "the scheduler's authority, and its address must begin with tls://"
    )
