"""The top of the page: the end of the run and its remedies, its figures, and its time by parts."""

import re
import shlex
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup

from runner.base import humanize, overrides
from runner.base.command import COMMAND
from runner.record.run import TaskExtent
from runner.report.records import Contents, PassFacts, Problem, Run

_WORDS: Final = {
    "COMPLETED": "Everything asked for was computed and written.",
    "FAILED": "The run ended with an error.",
    "INTERRUPTED": "The run was stopped from outside; what was finished stays.",
    "KILLED": "The run says RUNNING but shows no sign of life: its process was killed, or its machine went down.",
    "RUNNING": "The run was under way when this page was made.",
    "UNKNOWN": "run.json does not say how the run ended.",
}
_KINDS: Final = {
    "ConfigError": "A setting is wrong.",
    "SourceError": "The source cannot be used.",
    "OutsideError": "Nothing of it lies there.",
    "PlanError": "The job does not fit.",
    "ClusterError": "The workers failed.",
    "ArchiveError": "Stacks failed.",
    "ReadError": "A scene cannot be read.",
    "MissingError": "A scene is gone.",
    "DeniedError": "Access was denied.",
    "ChangedError": "A scene was replaced during the run.",
    "OutputError": "A result cannot be written.",
    "Interrupted": "Stopped.",
}
_REMEDIES: Final = {
    "ReadError": "Go on with on_error=skip, or leave the scene out of a new run with source.exclude.",
    "MissingError": "The scene was deleted since it was listed: go on with on_error=skip, or run again.",
    "DeniedError": "Check the credentials, and the access that source.s3, source.gcs or source.azure sets.",
    "ChangedError": "The scene was replaced while it was read: run again, so that it is listed anew.",
    "OutputError": "Make room, or set output.dir to a folder that can be written to.",
}
_OF_SETTINGS: Final = ("ConfigError", "PlanError")  # kinds that come again until a setting is another
_REMEDY: Final = re.compile(  # a message that has one
    r"\b(source|output|fetch|stages|gdal|cluster|mask|zones)\.\w+|\bon_error\b"
)
_LEAST_SECONDS: Final = 1e-3  # of a part of the wall time
_LONG: Final = 50  # characters of a path


class Figure(NamedTuple):
    """One of the figures at the top."""

    name: str
    shown: Markup | str
    note: Markup | str
    fraction: float | None = None  # of a bar below it


class Segment(NamedTuple):
    """A part of the wall time."""

    name: str
    css: str
    seconds: float
    share: float


def status_words(run: Run) -> str:
    """The meaning of a status."""
    return _WORDS.get(run.status, "")


def problem(run: Run) -> Problem | None:
    """The error that ended the run: long paths stand once, below the message, which has their ends."""
    error = run.record.error
    if error is None:
        return None
    message, scene = error.message, error.scene or ""
    if len(scene) > _LONG and scene in message:
        message = message.replace(scene, "…/" + "/".join(scene.rsplit("/", 2)[-2:]))
    place = [
        ("pass", error.pass_name),
        ("stages", ", ".join(error.stages) if "+".join(error.stages) != error.pass_name else ""),
        ("scene", scene),
        ("task", _extent(error.task)),
    ]
    known = tuple((name, text) for name, text in place if text)
    return Problem(_KINDS.get(error.kind, f"Unexpected: {error.kind}."), message, known)


def _extent(task: TaskExtent | None) -> str:
    if task is None:
        return ""
    rows = humanize.span(task.row, task.row + task.height)
    columns = humanize.span(task.column, task.column + task.width)
    return f"rows {rows}, columns {columns}, scenes {humanize.span(task.start, task.stop)}"


def attempts(contents: Contents) -> tuple[str, list[tuple[str, str, str]]] | None:
    """Of a run that was resumed: what was reused, and (when, how it ended, how long) of each attempt; else None."""
    run = contents.run.record
    if not run.attempts:
        return None
    ends = [*(attempt.status.replace("RUNNING", "KILLED") for attempt in run.attempts), contents.run.status]
    rows = [
        (humanize.moment(attempt.started.timestamp()), end.lower(), humanize.seconds(attempt.lived_seconds))
        for attempt, end in zip([*run.attempts, run], ends, strict=True)
    ]
    return f"Resumed: this is attempt {len(rows)}.{_reused(contents)}", rows


def _reused(contents: Contents) -> str:
    tasks = contents.tasks
    if tasks is None:
        return ""
    reused = tasks.where(~tasks.own)
    if not len(reused):
        return " No finished tasks were left by the attempts before it; everything was read."
    failed = tasks.status.count("failed")
    total = len(tasks) - failed
    bytes_ = float(np.nansum(reused.bytes))
    spared = f", so that {humanize.size(bytes_)} were not fetched again" if bytes_ else ""
    return (
        f" {humanize.count(len(reused))} of {humanize.plural(total, 'task')} had been finished before and were reused"
        f"{spared}; {humanize.count(total - len(reused))} were computed now."
    )


def remedies(contents: Contents) -> list[tuple[str, str]]:
    """(what to do, the command for it) after a run that did not complete."""
    run = contents.run
    if run.status not in ("FAILED", "INTERRUPTED", "KILLED"):
        return []
    error = run.record.error
    hint = _REMEDIES.get(error.kind) if error and not _REMEDY.search(error.message) else None
    once = ", once it is fixed" if run.status == "FAILED" else ""
    other = " -- KEY=VALUE" if error and error.kind in _OF_SETTINGS else ""
    repetition = (f"Go on where it ended{once}:", f"{COMMAND} log resume {shlex.quote(contents.path)}{other}")
    if contents.left_nothing:
        folder = "; its folder is used again" if _is_folder_named(run) else ""
        repetition = (f"It left nothing, so start it again{once}{folder}:", repeat_command(contents))
    return [*([(hint, "")] if hint else []), repetition]


def repeat_command(contents: Contents) -> str:
    """The command line that starts the same job again: in its folder if the run left nothing there, else in another."""
    run = contents.run
    arguments = overrides.without_folder(run.record.overrides)
    folder = [f"output.dir={contents.path}"] if _is_folder_named(run) and contents.left_nothing else []
    return overrides.command_line(run.record.config_flags, [*arguments, *folder])


def _is_folder_named(run: Run) -> bool:
    """Whether the overrides say `output.dir`."""
    return len(overrides.without_folder(run.record.overrides)) < len(run.record.overrides)


def repeat_note(contents: Contents) -> str:
    """A remark that the command leaves out the run's own folder, which is taken."""
    named = _is_folder_named(contents.run)
    return "   # in a new folder, since output.dir holds this run" if named and not contents.left_nothing else ""


def figures(contents: Contents) -> list[Figure]:
    """Times, amounts and memory in figures; unknown ones are left out."""
    run = contents.run
    computing = computing_seconds(run)
    bytes_, requests, retries = (_total(run, name) for name in ("bytes", "requests", "retries"))
    planned = _total(run, "planned_bytes")
    rate = humanize.ratio(bytes_, computing)
    candidates = [
        wall_figure(run),
        Figure("computing", data(computing, humanize.seconds(computing)), _passes(run)),
        _task_figure(contents),
        Figure("fetched", data(bytes_, humanize.size(bytes_)), _of_plan(run, bytes_, planned)),
        Figure("throughput", data(rate, humanize.rate(rate)), "while computing"),
        Figure("requests", data(requests, humanize.count(requests)), _retried(retries)),
        _memory_figure(run),
    ]
    return [figure for figure in candidates if humanize.UNKNOWN not in figure.shown]


def data(value: float | None, shown: str) -> Markup:
    """A figure for people, with the exact number for programs."""
    return Markup("<data value='{}'>{}</data>").format("" if value is None else f"{value:.15g}", shown)


def wall_figure(run: Run) -> Figure:
    """The time from start to end."""
    note = "from start to exit" if run.ended is not None else "to the last sign of life"
    imports = run.record.phases.get("imports_seconds")
    if imports:
        note = f"{note}, after {humanize.seconds(imports)} of imports"
    return Figure("wall time", data(run.lived_seconds, humanize.seconds(run.lived_seconds)), note)


def _passes(run: Run) -> str:
    if not run.passes:
        return "no pass ended"
    many = f"in {humanize.plural(len(run.passes), 'pass', 'passes')}"
    return many if run.passes[-1].ended else f"{many}, unended" if len(run.passes) == 1 else f"{many}, the last unended"


def _task_figure(contents: Contents) -> Figure:
    """Tasks, or pieces, done or taken over from an earlier run, by the trace; else tasks of the passes that ended."""
    if contents.tasks is None:
        ended = [pass_.tasks for pass_ in contents.run.passes if pass_.ended and pass_.tasks is not None]
        total = sum(ended) if ended else None
        return Figure("tasks", data(total, humanize.count(total)), "")
    failed, reused = (contents.tasks.status.count(status) for status in ("failed", "reused"))
    finished = len(contents.tasks) - failed
    note = Markup("{} {} failed").format(data(failed, humanize.count(failed)), "attempt" if failed == 1 else "attempts")
    if reused:
        note = Markup("{} of them reused, {}").format(humanize.count(reused), note)
    name = "pieces of results" if contents.run.in_pieces else "tasks"
    return Figure(name, data(finished, humanize.count(finished)), note)


def scene_counts(contents: Contents) -> tuple[float | None, float | None]:
    """Scenes used and objects skipped, by the table of inputs, else by run.json."""
    if contents.inputs is not None:
        used = sum(row.used for row in contents.inputs)
        return used, len(contents.inputs) - used
    stack = contents.run.record.stack
    return (stack.scenes, stack.left_out) if stack else (None, None)


def _total(run: Run, name: str) -> float | None:
    """The sum over the passes that know it."""
    values = [value for pass_ in run.passes if (value := getattr(pass_, name)) is not None]
    return sum(values) if values else None


def _of_plan(run: Run, bytes_: float | None, planned: float | None) -> str:
    """The planned bytes; a resumed run fetches less, since it restores finished tasks."""
    if bytes_ is None or not planned:
        return ""
    amount = f"{humanize.size(planned)} planned"
    return f"of {amount}; the rest reused" if run.record.attempts else amount


def computing_seconds(run: Run) -> float | None:
    """Of the passes, without the time in which they waited for machine code."""
    computing = _total(run, "compute_seconds")
    return None if computing is None else max(computing - (_total(run, "compile_seconds") or 0.0), 0.0)


def _retried(retries: float | None) -> Markup | str:
    return (
        ""
        if retries is None
        else Markup("{} {}").format(data(retries, humanize.count(retries)), "retry" if retries == 1 else "retries")
    )


def _memory_figure(run: Run) -> Figure:
    """The pass that held the most, against what was planned for that one."""
    largest = max((pass_ for pass_ in run.passes if pass_.peak_bytes is not None), key=_peak, default=None)
    if largest is None:
        return Figure("peak memory", data(None, humanize.UNKNOWN), "")
    planned = largest.planned_peak_bytes
    share = humanize.ratio(largest.peak_bytes, planned)
    note = "" if share is None else f"{100 * share:.0f} % of {humanize.size(planned)} planned"
    return Figure("peak memory", data(largest.peak_bytes, humanize.size(largest.peak_bytes)), note, share)


def _peak(pass_: PassFacts) -> float:
    return pass_.peak_bytes or 0.0


def segments(run: Run, remainder: str = "the rest") -> list[Segment]:
    """The parts of the wall time, from the start of the process on; time without a phase is the remainder."""
    compiling = (run.record.phases.get("compiling_seconds") or 0.0) + (_total(run, "compile_seconds") or 0.0)
    parts = [
        ("starting Python, imports", "imports", run.record.phases.get("imports_seconds")),
        ("demo archive", "archive", run.record.phases.get("archive_seconds")),
        ("listing and headers", "listing", run.record.phases.get("listing_seconds")),
        ("loading compiled code", "kernels", run.record.phases.get("kernels_seconds")),
        ("compiling, once for each type of pixels", "compile", compiling),
        ("starting workers", "starting", _total(run, "start_seconds")),
        ("computing", "computing", computing_seconds(run)),
        ("writing", "writing", run.record.phases.get("writing_seconds")),
        ("this report", "reporting", run.record.phases.get("report_seconds")),
    ]
    known = [(name, css, seconds) for name, css, seconds in parts if seconds and seconds >= _LEAST_SECONDS]
    claimed = sum(seconds for _, _, seconds in known)
    wall = max((run.lived_seconds or 0.0) + (run.record.phases.get("imports_seconds") or 0.0), claimed)
    if not known or not wall:
        return []
    rest = [(remainder, "other", wall - claimed)] if wall - claimed >= _LEAST_SECONDS else []
    return [Segment(name, css, seconds, seconds / wall) for name, css, seconds in [*known, *rest]]
