"""Plans from Python: what a run would read and hold, before it runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.api.driver import driven
from runner.api.words import Overrides, words_of
from runner.base.humanize import plural, size
from runner.model import Stack
from runner.planning.records import Pass
from runner.settings import JobSettings


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What the run of one stack would do: `stack` has its scenes and grid, `passes` their tasks, costs and memory."""

    name: str
    stack: Stack
    passes: tuple[Pass, ...]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a run would do. One stack has one entry in `stacks`, an archive one for each stack that would run.

    `memory_bytes` is the most that one process would hold, None where dask decides.
    """

    stacks: tuple[StackPlan, ...]
    memory_bytes: int | None
    outside: tuple[str, ...] = ()  # stacks that source.bbox or source.area does not meet

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes of all stacks."""
        return tuple(pass_ for stack in self.stacks for pass_ in stack.passes)

    @property
    def scenes(self) -> int:
        """Scenes of all stacks."""
        return sum(len(stack.stack.scenes) for stack in self.stacks)

    @property
    def tasks(self) -> int:
        """Tasks of all passes."""
        return sum(len(pass_.tasks) for pass_ in self.passes)

    @property
    def requests(self) -> int | None:
        """Requests for pixels, without retries; None where GDAL decides."""
        return _sum(pass_.cost.requests for pass_ in self.passes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the files' tiles that would be read, masks too."""
        return sum(pass_.cost.stored_bytes for pass_ in self.passes)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the pixels in these tiles."""
        return sum(pass_.cost.decoded_bytes for pass_ in self.passes)

    def __repr__(self) -> str:
        requests = "requests by GDAL" if self.requests is None else plural(self.requests, "request")
        memory = "memory by dask" if self.memory_bytes is None else f"{size(self.memory_bytes)} of memory"
        return (
            f"JobPlan({plural(len(self.stacks), 'stack')}, {plural(self.scenes, 'scene')}, "
            f"{plural(len(self.passes), 'pass', 'passes')} of {plural(self.tasks, 'task')}, {requests}, "
            f"{size(self.stored_bytes)} stored, {size(self.decoded_bytes)} decoded, {memory})"
        )


def plan(overrides: Overrides = (), *, progress: bool = False, **settings: object) -> JobPlan:
    """The plan of the job that `runner.run` would run with the same overrides. Only headers are read.

    Nothing is printed, unless `progress`. Raises RunnerError as `runner.run`; PlanError for a job that does not fit.
    """
    words = words_of(overrides, settings)

    def work() -> JobPlan:
        from runner.config.composed import compose_job  # noqa: PLC0415 - Hydra, which is loaded when it is used
        from runner.planning.whole import refuse_parted_values  # noqa: PLC0415 - as above
        from runner.record.events import libraries_hushed  # noqa: PLC0415 - as above
        from runner.start import with_reused_path  # noqa: PLC0415 - as above

        job = compose_job(words).job
        refuse_parted_values(job)
        job = with_reused_path(job)
        with libraries_hushed():
            return _archive_plan(job) if job.source.parted_by else _stack_plan(job)

    return driven(work, progress=progress)


def _stack_plan(job: JobSettings) -> JobPlan:
    from runner.preview import plan_job  # noqa: PLC0415 - as in `plan`

    stack, planned = plan_job(job)
    held = [pass_.worker_bytes for pass_ in planned.passes]
    return JobPlan((StackPlan(stack.name, stack, planned.passes),), _most(held))


def _archive_plan(job: JobSettings) -> JobPlan:
    from runner.archive.plan import peak_bytes, plan_archive, refuse_impossible  # noqa: PLC0415 - as in `plan`

    archive = plan_archive(job)
    refuse_impossible(archive.stacks)
    stacks = [StackPlan(name, stack, planned.passes) for name, stack, planned in archive.plans]
    return JobPlan(tuple(stacks), peak_bytes(job, archive), tuple(one.name for one in archive.stacks if one.outside))


def _sum(amounts: Iterable[int | None]) -> int | None:
    known = list(amounts)
    return None if None in known else sum(amount or 0 for amount in known)


def _most(amounts: Sequence[int | None]) -> int | None:
    return None if None in amounts else max((amount or 0 for amount in amounts), default=0)
