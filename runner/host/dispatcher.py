"""Kernels compiled by numba: without the GIL, by IEEE rules, and cached on disk."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import numba.core.config
from numba import njit
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys

from runner.errors import PlanError
from runner.host.compile_clock import CLOCK, COMPILE, LOCK

_ROOMS: Final = ("read", "reduce")
# The numba whose machine code is known to need its runtime alone, as long as it hashes nothing and is not parallel. For
# any other, all is loaded that code may be compiled from: 90 modules, an eighth of a second.
_LOADS_ALONE: Final = (0, 68)
_DIGEST_BYTES: Final = 32  # of SHA-256

log = logging.getLogger(__name__)


class _Listener(event.Listener):  # type: ignore[misc]  # numba has no types
    """Hands numba's events to the clock."""

    def on_start(self, event: event.Event) -> None:
        CLOCK.begins(event.kind)

    def on_end(self, event: event.Event) -> None:
        CLOCK.ends(event.kind)


for _kind in (LOCK, COMPILE):
    event.register(_kind, _Listener())


def dispatcher(function: Callable[..., Any], *, inline: bool = False, reorder: bool = False) -> Any:
    """The function as numba runs it, compiled for each combination of argument types, or into its callers.

    With `reorder`, its own additions may come in any order.
    """
    if numba.core.config.DISABLE_JIT:
        return _refused(function)
    # "numpy": division by zero gives inf or NaN instead of a check in every loop. fastmath stays off: it would let the
    # compiler cancel the terms that an error-free addition computes.
    if inline:
        return njit(nogil=True, error_model="numpy", fastmath=False, forceinline=True)(function)
    kernel = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"} if reorder else False)(function)
    with suppress(RuntimeError):  # numba: "cannot cache function ...: no locator available for file ..."
        kernel._cache = KernelCache(function)  # noqa: SLF001 - as njit(cache=True) does, with a cache of its own
    return kernel


def _refused(function: Callable[..., Any]) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise PlanError(
            f"NUMBA_DISABLE_JIT is set, and {function.__name__} is right and fast only when it is compiled; unset it, "
            "or choose engine=xarray"
        )

    return refuse


class KernelCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """The machine code of one kernel on disk. Damaged code is compiled again; a full disk does not stop a run.

    Its stamp covers the sources of all kernels: numba checks the kernel's own file only, and would keep old code of
    functions in other files.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFiles(self._cache_path, self._impl.filename_base, _sources_stamp())

    def load_overload(self, sig: object, target_context: object) -> Any:
        """The cached code for a signature; None without any, or if it is damaged."""
        try:
            return self._loaded(sig, target_context)
        except Exception as error:  # noqa: BLE001 - unpickling garbage may raise anything
            log.warning("%s is damaged and compiled again: %s", self._cache_file.index, error)
            with suppress(OSError):
                self._cache_file.index.unlink()
            return None

    def _loaded(self, sig: object, target_context: object) -> Any:
        if numba.version_info.short != _LOADS_ALONE:
            return super().load_overload(sig, target_context)
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)

    def save_overload(self, sig: object, data: object) -> None:
        """Keep the code for a signature, if the disk takes it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            log.warning("%s cannot be written, and the next process compiles again: %s", self._cache_file.index, error)


class _CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]  # numba has no types
    """Files that end with their digest, which unpickling ignores, and contain the signature of their code.

    Two processes that compile two signatures of a kernel at the same time may use the same file for both.
    """

    @property
    def index(self) -> Path:
        """The file that names the others."""
        return Path(self._index_path)

    def load(self, key: object) -> Any:
        """The code for a key, or None. Raises ValueError for code of another key."""
        entry = super().load(key)
        if entry is not None and entry[0] != key:
            raise ValueError("its code is of another signature")
        return entry and entry[1]

    def save(self, key: object, data: object) -> None:
        """Keep the code for a key. Raises OSError."""
        super().save(key, (key, data))

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
            raise ValueError(f"{name} is not as it was written")
        return super()._load_data(name)

    def _dump(self, obj: object) -> bytes:
        data: bytes = super()._dump(obj)
        return data + hashlib.sha256(data).digest()


@cache
def _sources_stamp() -> str:
    """A hash that changes with every file that may have kernels, and with this one."""
    rooms = sorted(path for room in _ROOMS for path in (Path(__file__).parents[1] / room).glob("*.py"))
    stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in (*rooms, Path(__file__))]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()
