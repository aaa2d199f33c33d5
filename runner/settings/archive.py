"""The keys of `archive`: many stacks in one run."""

import re
from dataclasses import dataclass
from typing import Annotated

from runner.settings.choices import PlanHeaders
from runner.settings.cluster import ClusterSettings
from runner.settings.limits import STACK_FAILURE


def parse_shard(text: str) -> tuple[int, int] | None:
    """K and N of `K/N`, with K from 1 to N; None for anything else."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        return None
    return int(found[1]), int(found[2])


@dataclass(slots=True)
class ArchiveSettings:
    """The run of an archive that `source.stack_by` parts into stacks. A run of one stack does not use these keys."""

    on_error: Annotated[str, STACK_FAILURE] = "stop"
    """What happens if a stack fails. `stop` ends the run after the first one, and `continue` goes on with the others.
    Either way the exit code is 1, and `log resume` goes on with what is missing."""
    cluster: ClusterSettings | None = None
    """Workers that run whole stacks, each stack by the threads of its worker. Null and `threads` run all stacks in this
    process."""
    shard: str | None = None
    """A share of the stacks, such as `3/16`: this run takes the third of sixteen, and other runs the others. Null takes
    all stacks."""
    headers: PlanHeaders = PlanHeaders.first
    """The headers that `action=plan` reads."""
