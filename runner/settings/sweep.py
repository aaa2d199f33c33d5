"""The keys of `sweep`."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import Objective, Search, Start
from runner.settings.limits import FROM_1, SECONDS, SHARE


@dataclass(slots=True)
class SweepSettings:
    """The way in which `hydra/launcher=isolated` runs the jobs of a sweep. A single job does not use these keys."""

    repeats: Annotated[int, FROM_1] = 1
    """Number of times that each job runs."""
    seed: int = 0
    """Seed of the random order of the jobs, and of a search."""
    n_jobs: Annotated[int, FROM_1] = 1
    """Number of jobs that run at a time. With 1 they do not slow each other down."""
    timeout: Annotated[float | None, SECONDS] = None
    """Seconds that a job may take. Null sets no limit."""
    memory_limit: str | None = None
    """Memory that all processes of a job may take together, such as `2GiB`. Null sets no limit."""
    start: Start = Start.warm
    """What a job finds when it starts."""
    prune: Annotated[int | None, FROM_1] = None
    """Number of scenes on which all settings are tried first. Only the best go on to all scenes. Null tries all
    settings on all scenes."""
    keep: Annotated[float, SHARE] = 0.34
    """Share of the settings that go on after `prune`."""
    resume: str | None = None
    """Folder of the sweep to continue. `auto` continues the newest sweep of the same command."""
    baseline: list[str] | None = None
    """Overrides of the job with which all others are compared, such as `[chunks=row, engine=xarray]`."""
    search: Search | None = None
    """How settings are searched. Null tries all combinations."""
    trials: Annotated[int, FROM_1] = 20
    """Number of settings that a search tries."""
    objective: list[Objective] = field(default_factory=lambda: [Objective.wall])
    """Quantities to rank by. The second one decides where the first one ties."""
