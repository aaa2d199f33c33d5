"""Compiled kernels: compiled when first called, without the GIL, by IEEE rules, and cached on disk."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numba.core.config
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

from runner.errors import PlanError

_ROOMS: Final = ("read", "reduce")
_DIGEST_BYTES: Final = 32  # of SHA-256
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

log = logging.getLogger(__name__)


def compiled(function: Kernel) -> Kernel:
    """Compile `function` lazily, once for each combination of argument types.

    The machine code lies beside the source, or in the user's cache directory (NUMBA_CACHE_DIR moves it). If neither can
    be written, as for an unknown user in a read-only container, every process compiles for itself. With
    NUMBA_DISABLE_JIT, a kernel raises PlanError when it is called.
    """
    if numba.core.config.DISABLE_JIT:
        return _refused(function)
    # "numpy": division by zero gives inf or NaN instead of a check in every loop. fastmath stays off: it would let the
    # compiler cancel the terms that an error-free addition computes.
    kernel: Any = njit(nogil=True, error_model="numpy", fastmath=False)(function)
    with suppress(RuntimeError):  # numba: "cannot cache function ...: no locator available for file ..."
        kernel._cache = KernelCache(function)  # noqa: SLF001 - as njit(cache=True) does, with a cache of its own
    return kernel  # type: ignore[no-any-return]  # numba's wrapper hides the signature


def is_on_disk(kernel: Callable[..., Any]) -> bool:
    """True if machine code of a kernel, for any types, is in the cache. What is damaged there counts as absent."""
    files: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    with suppress(Exception):  # unpickling garbage may raise anything
        return files is not None and bool(files._load_index())  # noqa: SLF001 - numba has no other door
    return False


def inlined(function: Kernel) -> Kernel:
    """Compile `function` into each of its callers, which are kernels; for the small steps of an inner loop."""
    if numba.core.config.DISABLE_JIT:
        return _refused(function)
    return njit(nogil=True, error_model="numpy", fastmath=False, forceinline=True)(function)  # type: ignore[no-any-return]


def _refused(function: Kernel) -> Kernel:
    def refuse(*_: object) -> None:
        raise PlanError(
            f"NUMBA_DISABLE_JIT is set, and {function.__name__} is right and fast only when it is compiled; unset it, "
            "or choose engine=xarray"
        )

    return refuse  # type: ignore[return-value]  # it takes any arguments


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
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 - unpickling garbage may raise anything
            log.warning("%s is damaged and compiled again: %s", self._cache_file.index, error)
            with suppress(OSError):
                self._cache_file.index.unlink()
            return None

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
