"""How kernels are compiled: when first called, without the GIL, by IEEE rules, and kept on disk for the next time."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from numba import njit

_ROOMS: Final = ("read", "reduce")
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile `function` lazily, once for each combination of argument types.

    The machine code lies beside the source, or in the user's cache directory (NUMBA_CACHE_DIR moves it). Where none of
    them can be written, as for an unknown user in a read-only container, every process compiles for itself.
    """
    try:
        kernel: Any = _options(cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function ...: no locator available for file ..."
        kernel = _options(cache=False)(function)
    kept = getattr(kernel._cache, "_cache_file", None)  # noqa: SLF001 - as below
    if kept is not None:
        # numba looks at the kernel's own file alone; what it calls in others would stay as it was when first compiled.
        kept._source_stamp = _sources_stamp()  # noqa: SLF001 - numba has no setting for it
    return kernel  # type: ignore[no-any-return]  # numba's wrapper hides the signature


@cache
def _sources_stamp() -> str:
    """Changes with any file that kernels may lie in."""
    files = sorted(path for room in _ROOMS for path in (Path(__file__).parent / room).glob("*.py"))
    stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()


def _options(*, cache: bool) -> Any:
    # "numpy": dividing by zero gives inf or NaN instead of a check in every loop. fastmath stays off: it would let the
    # compiler cancel the very terms that an error-free addition computes.
    return njit(nogil=True, error_model="numpy", fastmath=False, cache=cache)
