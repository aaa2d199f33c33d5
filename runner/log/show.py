"""`show`: what a run was, how it ended, what it took and left, and how to do it again."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.base import humanize
from runner.base.command import command
from runner.base.console import say, show_table, table
from runner.base.overrides import command_line, for_shell, repeat_command, without_folder
from runner.errors import RecordError, printable
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.claim import left_nothing
from runner.record.run_files import OutputFile
from runner.record.run_folder import RunFolder, choose_run, unended

_HEADING = 12  # characters
_EXAMPLES = """\
examples
  cog-stack-runner log show last                 the newest run below outputs/
  cog-stack-runner log show 14-05-09_demo        a part of the name will do
  cog-stack-runner log show outputs/2026-11-23/14-05-09_demo"""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_outputs(parser)


def _run(options: Namespace) -> int:
    run = choose_run(options.run, options.outputs)
    for text in how_it_ended(run):
        say(text)
    for heading, text in what_it_was(run):
        say(f"{heading:<{_HEADING}} {printable(text)}")
    if run.facts["passes"]:
        show_table(table("", _PASS_COLUMNS, [_pass_row(one) for one in run.facts["passes"]]))
    _show_outputs(run)
    _show_what_to_do(run)
    return 0


def _show_what_to_do(run: RunFolder) -> None:
    folder = shlex.quote(humanize.relative_path(run.path))
    if left_nothing(run.path):
        words = [*without_folder(run.facts["overrides"]), f"output.dir={humanize.relative_path(run.path)}"]
        say("\nit left nothing; again, in its folder, or with another source:")
        say(f"  {printable(command_line(run.config_flags, words, command()))}")
        say(f"  {command()} log resume {folder} -- source.url=...")
        return
    say("\nagain, with the scenes that there are now, or with those of this run:")
    say(f"  {printable(repeat_command(run.config_flags, run.facts['overrides'], command()))}")
    say(f"  {command()} log rerun {folder}")
    if run.status in ("FAILED", "INTERRUPTED", "KILLED"):
        say(f"or go on where it ended:\n  {command()} log resume {folder}")


# --- how it ended, what it was ----------------------------------------------------------------------------------------


def how_it_ended(run: RunFolder) -> list[str]:
    """The folder, the status, and what went wrong and where."""
    took = "" if run.seconds is None else f" after {run.seconds:.1f} s"
    code = run.facts.get("exit_code")
    lines = [
        humanize.relative_path(run.path),
        f"{run.status}{took}{'' if code is None else f', exit code {code}'}{_remark(run)}",
    ]
    if run.error:
        lines.append(f"error: {run.error}")
    error = run.facts.get("error")
    if isinstance(error, dict):
        places = [f"{key} {_place(error[key])}" for key in ("pass", "scene", "block") if error.get(key)]
        lines += [f"in {', '.join(places)}"] if places else []
    return lines


def _remark(run: RunFolder) -> str:
    if run.status == "KILLED":
        last = run.facts.get("heartbeat")
        return f"; it could not say so itself{f', its last sign of life was {_local(last)}' if last else ''}"
    return f"; process {run.facts.get('pid')} on {run.facts.get('host')}" if run.status == "RUNNING" else ""


def _place(found: object) -> str:
    if not isinstance(found, Mapping):
        return str(found)
    return ", ".join(f"{key} {value}" for key, value in found.items())


def what_it_was(run: RunFolder) -> list[tuple[str, str]]:
    """Headings and their texts."""
    facts, source = run.facts, run.config.get("source") or {}
    versions = facts.get("versions") or {}
    code = facts.get("code")
    commit = (
        f"commit {code['commit']}{', with uncommitted changes' if code.get('dirty') else ''}" if code else "installed"
    )
    lines = [
        ("begun", _local(facts["started"])),
        ("stack", _stack(run)),
        ("source", str(source.get("url"))),
        ("overrides", " ".join(map(for_shell, facts["overrides"])) or "none"),
        ("code", f"cog-stack-runner {versions.get('cog-stack-runner', '?')}, {commit}{_kernels(facts)}"),
        ("machine", f"{facts.get('host')}, {facts.get('cores')} cores, {facts.get('platform')}"),
        ("Python", f"{facts.get('python')}, {_packages(versions)}"),
    ]
    if facts.get("phases"):
        lines.append(
            ("phases", ", ".join(f"{name.split('_')[0]} {of:.2f} s" for name, of in facts["phases"].items() if of))
        )
    earlier = [(word.replace("_", " "), str(facts[word])) for word in ("rerun_of", "resumed_from") if facts.get(word)]
    return lines + earlier


def _stack(run: RunFolder) -> str:
    stack, scenes = run.facts.get("stack"), humanize.plural(run.scenes, "scene")
    if not stack:
        return f"{run.stack_name}: {'its scenes were not found' if run.scenes is None else scenes}"
    days = [str(stack[key])[:10] for key in ("first_datetime", "last_datetime") if stack.get(key)]
    gone = f", {stack['left_out']} left out" if stack.get("left_out") else ""
    return (
        f"{run.stack_name}: {scenes} from {' to '.join(days)}{gone}, {stack.get('width')} x "
        f"{stack.get('height')} pixels {stack.get('dtype')}, {stack.get('crs')}, {humanize.nodata(stack.get('nodata'))}"
    )


def _kernels(facts: Mapping[str, Any]) -> str:
    return f", kernels {facts['kernels']}" if facts.get("kernels") else ""


def _packages(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {of}" for name, of in versions.items() if name != "cog-stack-runner")


def _local(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"


# --- passes and outputs -----------------------------------------------------------------------------------------------

_PASS_COLUMNS = [
    "pass", "cluster", "task", "tasks", "start", "computing", "fetched", "requests", "retries", "MB/s", "peak memory",
]  # fmt: skip


def _pass_row(facts: Mapping[str, Any]) -> list[str]:
    cluster, chunks, fetched = facts["cluster"], facts["chunks"], facts.get("fetched")
    seconds = facts.get("compute_seconds")
    amounts = ["-" if unended(facts) else "by GDAL", "-", "-", "-"]
    if fetched:
        speed = f"{fetched['bytes'] / seconds / 1e6:.1f}" if seconds else "-"
        amounts = [humanize.size(fetched["bytes"]), str(fetched["requests"]), str(fetched["retries"]), speed]
    lost = f", {facts['workers_lost']} lost" if facts.get("workers_lost") else ""
    threads = cluster["threads"] // max(cluster["n_workers"], 1)
    return [
        facts["name"],
        f"{cluster['kind']}, {cluster['n_workers']} x {threads} threads{lost}",
        f"{chunks['time']} x {chunks['y']} x {chunks['x']}",
        str(facts["tasks"]),
        _seconds(facts.get("start_seconds")),
        "unended" if unended(facts) else _seconds(seconds),
        *amounts,
        humanize.size(facts["peak_bytes"]) if facts.get("peak_bytes") else "-",
    ]


def _seconds(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f} s"


def _show_outputs(run: RunFolder) -> None:
    names = run.facts.get("outputs") or []
    if not names:
        say("outputs: none")
        return
    try:
        recorded = {one.name: one for one in run.outputs()}
    except RecordError as error:
        recorded = {}
        say(str(error))
    rows = [_output_row(run.path / name, recorded.get(name)) for name in names]
    show_table(table("", ["output", "statistics", "sha256", "size"], rows, left=3))


def _output_row(path: Path, recorded: OutputFile | None) -> list[str]:
    size = humanize.size(path.stat().st_size) if path.is_file() else "gone"
    if recorded is None:
        return [path.name, "", "", size]
    return [path.name, ", ".join(one.name for one in recorded.values), recorded.sha256[:16], size]


VERB = Verb("show", "what a run was, how it ended, what it took and left", _EXAMPLES, _arguments, _run)
