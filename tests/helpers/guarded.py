"""Memory whose neighbours on both sides end the process when they are touched."""

import ctypes
import mmap

import numpy as np
import numpy.typing as npt

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_ACCESS = 0  # PROT_NONE


class Guarded:
    """A copy of bytes that ends where a forbidden page begins, or begins where one ends."""

    def __init__(self, data: bytes, *, at_the_end: bool = True) -> None:
        page = mmap.PAGESIZE
        inner = max(-(-len(data) // page), 1) * page
        self._map = mmap.mmap(-1, inner + 2 * page)
        whole = np.frombuffer(self._map, np.uint8)
        start = page + (inner - len(data) if at_the_end else 0)
        self.array: npt.NDArray[np.uint8] = whole[start : start + len(data)]
        self.array[:] = np.frombuffer(data, np.uint8)
        for guard in (0, inner + page):
            if _LIBC.mprotect(ctypes.c_void_p(whole.ctypes.data + guard), ctypes.c_size_t(page), _NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")
