"""Batch jobs over stacks of Cloud-Optimized GeoTIFFs, described in Hydra YAML.

From Python: `runner.run` runs a job, `runner.plan` plans it, `runner.open_run` opens a run that is in its folder, and
`runner.open_stack` gives the scenes of a source as a lazy array. Errors are those of `runner.errors`. What these need
is imported when they are first used.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner import errors as errors
    from runner.api.plans import JobPlan as JobPlan
    from runner.api.plans import StackPlan as StackPlan
    from runner.api.plans import plan as plan
    from runner.api.runs import Report as Report
    from runner.api.runs import Run as Run
    from runner.api.runs import open_run as open_run
    from runner.api.runs import run as run
    from runner.api.stacks import open_stack as open_stack

_MODULES = {
    "JobPlan": "api.plans", "StackPlan": "api.plans", "plan": "api.plans", "Report": "api.runs", "Run": "api.runs",
    "open_run": "api.runs", "run": "api.runs", "open_stack": "api.stacks",
}  # fmt: skip

__all__ = ["JobPlan", "Report", "Run", "StackPlan", "errors", "open_run", "open_stack", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("runner.errors")
    if name not in _MODULES:
        raise AttributeError(f"module 'runner' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
    return getattr(import_module(f"runner.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
