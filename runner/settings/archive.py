"""The keys of `archive`: many stacks in one run."""

from dataclasses import dataclass
from typing import Annotated

from runner.settings.choices import PlanHeaders
from runner.settings.limits import STACK_FAILURE


@dataclass(slots=True)
class ArchiveSettings:
    """The run of an archive that `source.stack_by` parts into stacks. A run of one stack does not use these keys."""

    on_error: Annotated[str, STACK_FAILURE] = "stop"
    """What happens if a stack fails. `stop` ends the run after the first one, and `continue` goes on with the others.
    Either way the exit code is 1, and `log resume` goes on with what is missing."""
    headers: PlanHeaders = PlanHeaders.first
    """The headers that `action=plan` reads."""
