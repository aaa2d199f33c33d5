"""`show`: what a run was, how it ended, what it took and left, and how to do it again."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path

from msgspec.structs import asdict

from runner.base import humanize
from runner.base.command import command
from runner.base.console import say, show_table, table
from runner.base.overrides import command_line, quoted, repeat_command, without_folder
from runner.errors import RecordError, printable
from runner.log.show_stacks import MOST_STACKS, show_stacks, stacks_in_words, zones_in_words
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.claim import left_nothing
from runner.record.run import PassRecord, Run, TaskExtent
from runner.record.run_files import OutputFile
from runner.record.run_folder import RunFolder, choose_run
from runner.record.stack_rows import with_stacks_now
from runner.record.uploaded import upload_state

_HEADING = 12  # characters
_GONE = "gone"
_EXAMPLES = """\
examples
  cog-stack-runner log show last                 the newest run below outputs/
  cog-stack-runner log show 14-05-09_demo        a part of the name will do
  cog-stack-runner log show outputs/2026-11-23/14-05-09_demo
  cog-stack-runner log show 09-00-00_rtc                    an archive: its stacks, those that failed first
  cog-stack-runner log show 09-00-00_rtc/stacks/10TET_VV    one of its stacks, as any run"""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--all", action="store_true", help=f"every stack of an archive, not the first {MOST_STACKS}")
    add_outputs(parser)


def _run(options: Namespace) -> int:
    run = with_stacks_now(choose_run(options.run, options.outputs))
    for text in how_it_ended(run):
        say(text)
    for heading, text in what_it_was(run):
        say(f"{heading:<{_HEADING}} {printable(text)}")
    if run.record.passes:
        show_table(table("", _PASS_COLUMNS, [_pass_row(pass_) for pass_ in run.record.passes]))
    if run.record.is_archive:
        show_stacks(run, None if options.all else MOST_STACKS)
    _show_outputs(run)
    _show_what_to_do(run)
    return 0


def _show_what_to_do(run: RunFolder) -> None:
    folder, record = shlex.quote(_shown(run.path)), run.record
    if left_nothing(run.path):
        overrides = [*without_folder(record.overrides), f"output.dir={_shown(run.path)}"]
        say("\nit left nothing; again, in its folder, or with another source:")
        say(f"  {printable(command_line(record.config_flags, overrides, command()))}")
        say(f"  {command()} log resume {folder} -- source.url=...")
        return
    say("\nagain, with the scenes that there are now, or with those of this run:")
    say(f"  {printable(repeat_command(record.config_flags, record.overrides, command()))}")
    say(f"  {command()} log rerun {folder}")
    if run.status in ("FAILED", "INTERRUPTED", "KILLED"):
        say(f"or go on where it ended:\n  {command()} log resume {folder}")


# --- how it ended, what it was ----------------------------------------------------------------------------------------


def how_it_ended(run: RunFolder) -> list[str]:
    """The folder, the status, and what went wrong and where."""
    took = "" if run.seconds is None else f" after {run.seconds:.1f} s"
    code, failure = run.record.exit_code, run.record.error
    lines = [_shown(run.path), f"{run.status}{took}{'' if code is None else f', exit code {code}'}{_remark(run)}"]
    if failure:
        lines.append(f"error: {failure}")
        task = _task(failure.task) if failure.task else None
        places = [("pass", failure.pass_name), ("scene", failure.scene), ("task", task)]
        where = ", ".join(f"{name} {place}" for name, place in places if place)
        lines += [f"in {where}"] if where else []
    return lines


def _remark(run: RunFolder) -> str:
    if run.status == "KILLED":
        last = run.record.heartbeat
        return f"; it could not say so itself{f', its last sign of life was {_local(last)}' if last else ''}"
    return f"; process {run.record.pid} on {run.record.host}" if run.status == "RUNNING" else ""


def _task(extent: TaskExtent) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(extent).items())


def what_it_was(run: RunFolder) -> list[tuple[str, str]]:
    """Headings and their texts."""
    record, code = run.record, run.record.code
    commit = f"commit {code.commit}{', with uncommitted changes' if code.dirty else ''}" if code else "installed"
    kernels = f", kernels {record.kernels}" if record.kernels else ""
    phases = ", ".join(f"{name.split('_')[0]} {seconds:.2f} s" for name, seconds in record.phases.items() if seconds)
    lines = [
        ("started", _local(run.started)),
        ("stacks", stacks_in_words(record)) if record.is_archive else ("stack", _stack(record)),
        ("zones", zones_in_words(record)),
        ("source", str((run.config.get("source") or {}).get("url"))),
        ("overrides", " ".join(map(quoted, record.overrides)) or "none"),
        ("code", f"cog-stack-runner {record.versions.get('cog-stack-runner', '?')}, {commit}{kernels}"),
        ("machine", f"{record.host}, {record.cores} cores, {record.platform}"),
        ("Python", f"{record.python}, {_packages(record.versions)}"),
        ("phases", phases),
        ("upload", _upload(run)),
        ("rerun of", record.rerun_of),
        ("resumed from", record.resumed_from),
    ]
    return [(heading, text) for heading, text in lines if text]


def _upload(run: RunFolder) -> str | None:
    """The address that the results went to, or were to go to, and whether all of them are there."""
    upload = upload_state(run.path, (run.config.get("output") or {}).get("upload"))
    if upload is None or upload.files is not None:
        return upload and upload.words
    return f"{upload.words}; log resume {'uploads the results' if run.status == 'COMPLETED' else 'goes on'}"


def _stack(run: Run) -> str:
    stack = run.stack
    if not stack:
        return f"{run.stack_name}: its scenes were not found"
    days = [f"{time:%Y-%m-%d}" for time in (stack.first_datetime, stack.last_datetime) if time]
    more = f", {stack.left_out} left out" if stack.left_out else ""
    return (
        f"{stack.name}: {stack.scenes} scenes from {' to '.join(days)}{more}, {stack.width} x {stack.height} pixels "
        f"{stack.dtype}, {stack.crs}, nodata {stack.nodata}"
    )


def _packages(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {of}" for name, of in versions.items() if name != "cog-stack-runner")


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


# --- passes and outputs -----------------------------------------------------------------------------------------------

_PASS_COLUMNS = [
    "pass", "cluster", "task", "tasks", "start", "computing", "fetched", "requests", "retries", "MB/s", "peak memory",
]  # fmt: skip


def _pass_row(pass_: PassRecord) -> list[str]:
    cluster, chunks, fetched = pass_.cluster, pass_.chunks, pass_.fetched
    amounts = ["by GDAL" if pass_.has_ended else "-", "-", "-", "-"]
    if fetched:
        speed = "-" if pass_.megabytes_per_second is None else f"{pass_.megabytes_per_second:.1f}"
        amounts = [humanize.size(fetched.bytes), str(fetched.requests), str(fetched.retries), speed]
    lost = f", {pass_.workers_lost} lost" if pass_.workers_lost else ""
    return [
        pass_.name,
        f"{cluster.kind}, {cluster.n_workers} x {cluster.threads // max(cluster.n_workers, 1)} threads{lost}",
        f"{chunks.time} x {chunks.y} x {chunks.x}",
        str(pass_.tasks),
        _seconds(pass_.start_seconds),
        _seconds(pass_.compute_seconds) if pass_.has_ended else "unended",
        *amounts,
        humanize.size(pass_.peak_bytes) if pass_.peak_bytes else "-",
    ]


def _seconds(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f} s"


def _show_outputs(run: RunFolder) -> None:
    names = run.record.outputs
    if not names:
        say("outputs: none")
        return
    recorded: dict[str, OutputFile] = {}
    if not run.record.is_archive:  # whose tables have no digests of their own: they follow from those of its stacks
        try:
            recorded = {file.name: file for file in run.outputs()}
        except RecordError as error:
            say(str(error))
    rows = list(_output_rows(run.path, [(name, recorded.get(name)) for name in names]))
    show_table(table("", ["output", "statistics", "sha256", "size"], rows, left=3))


def _output_rows(folder: Path, outputs: Iterable[tuple[str, OutputFile | None]]) -> Iterator[list[str]]:
    """A row for each file; of the groups of a statistic for the first, with their number, and those that are gone."""
    for of_groups, alike in groupby(outputs, lambda output: output[1].of_groups if output[1] else ()):
        rows = [_output_row(folder / name, file) for name, file in alike]
        present = [row for row in rows if row[-1] != _GONE]
        if of_groups and len(present) > 1:
            (first, *facts), *others = present
            yield [f"{first} and {len(others)} more", *facts]
            rows = [row for row in rows if row[-1] == _GONE]
        yield from rows


def _output_row(path: Path, recorded: OutputFile | None) -> list[str]:
    size = humanize.size(path.stat().st_size) if path.is_file() else _GONE
    if recorded is None:
        return [path.name, "", "", size]
    return [path.name, ", ".join(value.name for value in recorded.values), recorded.sha256[:16], size]


def _shown(path: Path) -> str:
    from runner.base.humanize import relative_path  # noqa: PLC0415 - as above

    return relative_path(path)


VERB = Verb("show", "what a run was, how it ended, what it took and left", _EXAMPLES, _arguments, _run)
