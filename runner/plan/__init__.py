"""Passes, tasks, costs and memory, before anything runs.

`runner.plan` is this room and a function of the Python interface: Python sets the room as an attribute of the package
as soon as a module of it is imported, so the room can be called, and is then the function.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **settings: Any) -> Any:
        """`runner.api.plans.plan`."""
        return sys.modules["runner"].__getattr__("plan")(*args, **settings)


sys.modules[__name__].__class__ = _Callable
