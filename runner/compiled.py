"""How kernels are compiled: when first called, without the GIL, by IEEE rules, and kept on disk for the next time."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

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
    return kernel  # type: ignore[no-any-return]  # numba's wrapper hides the signature


def _options(*, cache: bool) -> Any:
    # "numpy": dividing by zero gives inf or NaN instead of a check in every loop. fastmath stays off: it would let the
    # compiler cancel the very terms that an error-free addition computes.
    return njit(nogil=True, error_model="numpy", fastmath=False, cache=cache)
