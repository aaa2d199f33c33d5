"""Compiled kernels, built when they are first needed: a module that has kernels costs nothing until one is called."""

from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from typing import Any, TypeVar

KernelFunction = TypeVar("KernelFunction", bound=Callable[..., Any])


def compiled(function: KernelFunction) -> KernelFunction:
    """Compile `function` when it is first called, once for each combination of argument types.

    The machine code lies beside the source, or in the user's cache directory (NUMBA_CACHE_DIR moves it). If neither can
    be written, as for an unknown user in a read-only container, every process compiles for itself. With
    NUMBA_DISABLE_JIT, a kernel raises PlanError when it is called.
    """
    return CompiledKernel(function)  # type: ignore[return-value]  # it is called as the function is


def inlined(function: KernelFunction) -> KernelFunction:
    """Compile `function` into each of its callers, which are kernels; for the small steps of an inner loop."""
    return CompiledKernel(function, inline=True)  # type: ignore[return-value]  # as above


def reordered(function: KernelFunction) -> KernelFunction:
    """Compile as `compiled` does, and let additions come in any order, which makes vector code of a sum.

    For sums that no order rounds, and nothing else.
    """
    return CompiledKernel(function, reorder=True)  # type: ignore[return-value]  # as above


def is_on_disk(kernel: Any) -> bool:
    """True if machine code of a kernel, for any types, is in the cache. What is damaged there counts as absent."""
    files = getattr(getattr(kernel.dispatcher, "_cache", None), "_cache_file", None)
    with suppress(Exception):  # unpickling garbage may raise anything
        return files is not None and bool(files._load_index())  # noqa: SLF001 - numba has no other door
    return False


class CompiledKernel:
    """A kernel, and numba's dispatcher of it from the first call on. Kernels may call it as they call each other."""

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        update_wrapper(self, function)
        self._function, self._options = function, options
        self._built: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        """Run the machine code for these arguments."""
        return self.dispatcher(*arguments)

    @property
    def dispatcher(self) -> Any:
        """The dispatcher, which is built once."""
        if not self._built:
            from runner.host.dispatcher import dispatcher  # noqa: PLC0415 - numba, which takes a third of a second

            self._built.append(dispatcher(self._function, **self._options))
        return self._built[0]  # of two threads that build it at once, both take the first

    @property
    def _numba_type_(self) -> Any:
        """The type by which numba knows the callee of a kernel."""
        return self.dispatcher._numba_type_
