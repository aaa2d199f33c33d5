"""What stands at the top: how the run ended and what to do about it, its figures, where its time went."""

import shlex
from typing import Final, NamedTuple

from markupsafe import Markup

from runner.command import COMMAND
from runner.log import repeat
from runner.log.report import text
from runner.log.report.records import Contents, PassFacts, Run

_WORDS: Final = {
    "COMPLETED": "Everything asked for was computed and written.",
    "FAILED": "The run ended with an error.",
    "INTERRUPTED": "The run was stopped from outside; what was finished stays.",
    "KILLED": "The run says RUNNING but shows no sign of life: its process was killed, or its machine went down.",
    "RUNNING": "The run was under way when this page was made.",
    "UNKNOWN": "run.json does not tell how the run ended.",
}
_REMEDIES: Final = {
    "ReadError": "Leave the scene out with source.exclude, or all that cannot be read with on_error=skip.",
    "MissingError": "The scene has gone since it was listed: leave it out with source.exclude, or set on_error=skip.",
    "DeniedError": "Check the credentials (source.s3.profile), source.s3.anonymous and source.s3.requester_pays.",
    "ChangedError": "The scene was replaced while it was read: run again, so that it is listed anew.",
    "OutputError": "Make room, or set output.dir to a folder that can be written to.",
}


class Figure(NamedTuple):
    """One of the figures at the top."""

    name: str
    shown: Markup
    note: Markup | str
    fraction: float | None = None  # of a bar below it


class Segment(NamedTuple):
    """A part of the wall time."""

    name: str
    css: str
    seconds: float
    share: float


def status_words(run: Run) -> str:
    """What a status means."""
    return _WORDS.get(run.status, "")


def remedies(contents: Contents) -> list[tuple[str, str]]:
    """(what to do, the command for it) after a run that did not complete."""
    run = contents.run
    if run.status not in ("FAILED", "INTERRUPTED", "KILLED"):
        return []
    hint = _REMEDIES.get(run.problem.kind) if run.problem else None
    go_on = f"{COMMAND} log resume {shlex.quote(contents.path)}"
    once = ", once it is mended" if run.status == "FAILED" else ""
    return [*([(hint, "")] if hint else []), (f"Go on where it ended{once}:", go_on)]


def repeat_command(contents: Contents) -> str:
    """The command line that starts the same job again, into a folder of its own."""
    return repeat.repeat_command(contents.run.config_flags, contents.run.overrides)


def figures(contents: Contents) -> list[Figure]:
    """The figures at the top; a dash where the folder does not tell."""
    run = contents.run
    computing = _total(run, "compute_seconds")
    bytes_, requests, retries = (_total(run, name) for name in ("bytes", "requests", "retries"))
    planned = _total(run, "planned_bytes")
    rate = text.ratio(bytes_, computing)
    speed = text.UNKNOWN if rate is None else f"{text.rate(rate)} MB/s"
    return [
        *_scene_figures(contents),
        _wall_figure(run),
        Figure("computing", _data(computing, text.seconds(computing)), _passes(run)),
        _task_figure(contents),
        Figure("fetched", _data(bytes_, text.size(bytes_)), _of_plan(bytes_, planned)),
        Figure("throughput", _data(rate, speed), "while computing"),
        Figure("requests", _data(requests, text.count(requests)), _retried(retries)),
        _memory_figure(run),
    ]


def _data(value: float | None, shown: str) -> Markup:
    """A figure for people, with the exact number for programs."""
    return Markup("<data value='{}'>{}</data>").format("" if value is None else f"{value:.15g}", shown)


def _wall_figure(run: Run) -> Figure:
    until = "from start to exit" if run.ended is not None else "to the last sign of life"
    return Figure("wall time", _data(run.lived_seconds, text.seconds(run.lived_seconds)), until)


def _passes(run: Run) -> str:
    if not run.passes:
        return "no pass ended"
    many = f"in {text.plural(len(run.passes), 'pass', 'passes')}"
    return many if run.passes[-1].ended else f"{many}, unended" if len(run.passes) == 1 else f"{many}, the last unended"


def _task_figure(contents: Contents) -> Figure:
    """Tasks, or pieces, done or taken over from an earlier run, by the trace; else tasks of the passes that ended."""
    if contents.tasks is None:
        ended = [one.tasks for one in contents.run.passes if one.ended and one.tasks is not None]
        total = sum(ended) if ended else None
        return Figure("tasks", _data(total, text.count(total)), "")
    failed = contents.tasks.status.count("failed")
    done = len(contents.tasks) - failed
    note = Markup("{} {} failed").format(_data(failed, text.count(failed)), "attempt" if failed == 1 else "attempts")
    return Figure("pieces of results" if contents.run.in_pieces else "tasks", _data(done, text.count(done)), note)


def _scene_figures(contents: Contents) -> list[Figure]:
    used, left_out = scene_counts(contents)
    note = Markup("{} left out").format(_data(left_out, text.count(left_out))) if left_out is not None else ""
    return [Figure("scenes used", _data(used, text.count(used)), note)]


def scene_counts(contents: Contents) -> tuple[float | None, float | None]:
    """Scenes used and objects left out, by the table of inputs, else by run.json."""
    if contents.inputs is not None:
        used = sum(row.used for row in contents.inputs)
        return used, len(contents.inputs) - used
    stack = contents.run.stack
    return (stack.scenes, stack.left_out) if stack else (None, None)


def _total(run: Run, name: str) -> float | None:
    """The sum over the passes that know it."""
    known = [value for one in run.passes if (value := getattr(one, name)) is not None]
    return sum(known) if known else None


def _of_plan(bytes_: float | None, planned: float | None) -> str:
    return f"{text.size(planned)} planned" if bytes_ is not None and planned else ""


def _retried(retries: float | None) -> Markup | str:
    return (
        ""
        if retries is None
        else Markup("{} {}").format(_data(retries, text.count(retries)), "retry" if retries == 1 else "retries")
    )


def _memory_figure(run: Run) -> Figure:
    """The pass that held the most, against what was planned for that one."""
    most = max((one for one in run.passes if one.peak_bytes is not None), key=_peak, default=None)
    if most is None:
        return Figure("peak memory", _data(None, text.UNKNOWN), "")
    planned = most.planned_peak_bytes
    share = text.ratio(most.peak_bytes, planned)
    note = "" if share is None else f"{100 * share:.0f} % of {text.size(planned)} planned"
    return Figure("peak memory", _data(most.peak_bytes, text.size(most.peak_bytes)), note, share)


def _peak(one: PassFacts) -> float:
    return one.peak_bytes or 0.0


def segments(run: Run) -> list[Segment]:
    """Where the wall time went; what no phase claims is start-up and the rest."""
    parts = [
        ("listing and headers", "listing", run.phases.get("listing_seconds")),
        ("starting workers", "starting", _total(run, "start_seconds")),
        ("computing", "computing", _total(run, "compute_seconds")),
        ("writing", "writing", run.phases.get("writing_seconds")),
        ("this report", "reporting", run.phases.get("report_seconds")),
    ]
    known = [(name, css, seconds) for name, css, seconds in parts if seconds]
    claimed = sum(seconds for _, _, seconds in known)
    wall = max(run.lived_seconds or 0.0, claimed)
    if not known or not wall:
        return []
    rest = [("start-up and the rest", "other", wall - claimed)] if wall > claimed else []
    return [Segment(name, css, seconds, seconds / wall) for name, css, seconds in [*known, *rest]]
