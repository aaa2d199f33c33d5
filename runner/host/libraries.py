"""Libraries kept from what they do at their start without need. Call this before they are imported."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Final

_KEYS: Final = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def spare_threads_of_blas() -> None:
    """Let numpy's OpenBLAS start no threads: each waits in a busy loop for 40 ms, and nothing here multiplies matrices.

    Processes started later start none either.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def spare_boto3() -> None:
    """Let rasterio import boto3 only if it will use it; that takes a tenth of a second.

    rasterio asks boto3 if there are keys in the environment: from many threads, which a lazy module does not bear.
    """
    if not os.environ.keys() >= _KEYS:
        sys.meta_path.insert(0, _Lazily("boto3"))


class _Lazily(MetaPathFinder):
    """Finds one module, which is executed when an attribute of it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec; None for any other."""
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec
