"""The keys of a cluster as messages name them: `cluster.KEY` of stages, `archive.cluster.KEY` of an archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_CLUSTER: Final[ContextVar[str]] = ContextVar("cluster", default="cluster")


@contextmanager
def cluster_named(key: str) -> Iterator[None]:
    """Let messages of this context be about the cluster whose settings are at `key`."""
    token = _CLUSTER.set(key)
    try:
        yield
    finally:
        _CLUSTER.reset(token)


def key_of(name: str = "") -> str:
    """The key of one setting of the cluster, or of the cluster itself, as an override names it."""
    return ".".join(filter(None, (_CLUSTER.get(), name)))
