"""`ls`: the runs below a folder, newest first, with the settings in which they differ."""

import difflib
import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from runner.base.console import say, show_table, table, tell
from runner.base.humanize import plural
from runner.base.overrides import as_text, without_folder
from runner.base.tree import flat
from runner.errors import RecordError, printable
from runner.log.verb import OUTPUTS, Verb
from runner.record.run import STATUSES, Run
from runner.record.run_folder import RunFolder, find_runs, read_run
from runner.record.stack_rows import with_stacks_now
from runner.record.stacks import OUTSIDE
from runner.record.uploaded import UploadState, upload_state

_STATUSES = (*STATUSES, "UNREADABLE")
_COLUMNS = ["run", "when", "status", "stack", "scenes", "wall", "MB/s", "retries", "overrides"]
_LEFT = 4  # columns of words
_ELASTIC = "overrides"  # which is cut where the terminal is too narrow, and last, so that others need not be padded
_ABSENT = "-"
_OWN = frozenset({"output.dir"})  # differs in every run
_EXAMPLES = """\
examples
  cog-stack-runner log ls                              every run below outputs/, newest first
  cog-stack-runner log ls outputs/2026-11-23           those of a day, or of a multirun
  cog-stack-runner log ls outputs/2026-11-26/09-00-00_rtc/stacks    the stacks of an archive, a run each
  cog-stack-runner log ls --status failed,killed       those that went wrong
  cog-stack-runner log ls --stack demo --since 2026-11-01 --until 2026-11-30
  cog-stack-runner log ls --where chunks.y=512 --where 'source.url=s3://my-bucket/*'
  cog-stack-runner log ls --json | jq '.[] | select(.retries > 0) | .name'

A run takes one line, cut to the terminal, and so does an archive, with how many of its stacks are done; --json has
every setting in which the runs differ.
Times are local here, UTC in --json. KILLED is a run that lives no more and could not say so itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One folder: a run, or (run None) the problem that keeps it from being read."""

    name: str
    path: Path
    run: RunFolder | None
    problem: str | None = None

    @property
    def status(self) -> str:
        """The run's, or UNREADABLE."""
        return self.run.status if self.run else "UNREADABLE"

    @property
    def upload(self) -> UploadState | None:
        """The address to which the run was uploaded, or was to be; None if to none."""
        return upload_state(self.path, (self.run.config.get("output") or {}).get("upload")) if self.run else None

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value of the run's config."""
        return flat(self.run.config) if self.run else {}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=OUTPUTS, metavar="FOLDER", help="default: outputs/")
    parser.add_argument("--status", type=_statuses, metavar="S[,S]", help=f"of {', '.join(_STATUSES).lower()}")
    parser.add_argument("--stack", metavar="NAME", help="the stack's name, or a pattern such as 'senti*'")
    parser.add_argument("--since", type=_day_start, metavar="DATE", help="started on that day (or time) or later")
    parser.add_argument("--until", type=_day_end, metavar="DATE", help="started on that day (or time) or before")
    parser.add_argument(
        "--where", type=_condition, action="append", default=[], metavar="KEY=VALUE",
        help="a dotted setting and its value, or a pattern; may be given again",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON array of objects instead of a table")


def _run(options: Namespace) -> int:
    if not options.folder.is_dir():
        raise RecordError(f"{options.folder}: there is no such folder; name one that runs lie in")
    every = [read_entry(path, options.folder) for path in find_runs(options.folder)]
    _refuse_unknown_keys(every, [key for key, _ in options.where])
    chosen = sorted((entry for entry in every if _wanted(entry, options)), key=_age, reverse=True)
    if options.json:
        say(json.dumps(describe(chosen), indent=1))
        return 0
    if chosen:
        show_table(table("", *columns_and_rows(chosen), _LEFT, _ELASTIC))
    tell(f"{len(chosen)} of {len(every)} runs below {options.folder}/")
    for entry in chosen:
        if entry.problem:
            tell(printable(entry.problem))
    return 0


def read_entry(path: Path, below: Path) -> Entry:
    """The run of a folder, named by its path below another; or why it cannot be read."""
    name = str(path.relative_to(below)) if path != below else path.name
    try:
        return Entry(name, path, with_stacks_now(read_run(path)))
    except RecordError as error:
        return Entry(name, path, None, str(error))


def _age(entry: Entry) -> tuple[datetime, str]:
    return entry.run.started if entry.run else datetime.min.replace(tzinfo=UTC), entry.name


# --- filters ----------------------------------------------------------------------------------------------------------


def _wanted(entry: Entry, options: Namespace) -> bool:
    if options.status and entry.status not in options.status:
        return False
    asks = (options.stack, options.since, options.until, options.where)
    if entry.run is None:
        return not any(asks)
    settings = entry.settings
    return (
        (options.stack is None or fnmatchcase(entry.run.record.stack_name, options.stack))
        and (options.since is None or entry.run.started >= options.since)
        and (options.until is None or entry.run.started < options.until)
        and all(key in settings and matches(settings[key], text) for key, text in options.where)
    )


def matches(value: object, text: str) -> bool:
    """Whether a setting's value is spelled by `text`: itself, an equal number, or a pattern that it fits."""
    spelled = as_text(value)
    if text == spelled:
        return True
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return fnmatchcase(spelled, text)


def _refuse_unknown_keys(every: Sequence[Entry], keys: Sequence[str]) -> None:
    known = {key for entry in every for key in entry.settings} if keys else set()
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "; a setting's keys are dotted, as chunks.y"
            raise RecordError(f"--where {key}: no run has such a setting{hint}")


def _statuses(text: str) -> frozenset[str]:
    statuses = frozenset(word.strip().upper() for word in text.split(","))
    if not statuses <= set(_STATUSES):
        raise ArgumentTypeError(f"{text}: wanted some of {', '.join(_STATUSES).lower()}, with commas")
    return statuses


def _condition(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text}: wanted KEY=VALUE, such as chunks.y=512")
    return key, value


def _day_start(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ArgumentTypeError(f"{text}: wanted a date such as 2026-11-23, or 2026-11-23T14:05") from error


def _day_end(text: str) -> datetime:
    """The end of a day, or of a minute or second, which is not in it any more."""
    lengths = {len("2026-11-23"): timedelta(days=1), len("2026-11-23T14:05"): timedelta(minutes=1)}
    return _day_start(text) + lengths.get(len(text), timedelta(seconds=1))


# --- what is shown ----------------------------------------------------------------------------------------------------


def columns_and_rows(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """The table: its headings, with one for uploads where there are any, and its cells."""
    uploads = [entry.upload for entry in entries]
    if not any(uploads):
        return _COLUMNS, rows(entries)
    cells = [[*row[:-1], _upload(upload), row[-1]] for row, upload in zip(rows(entries), uploads, strict=True)]
    return [*_COLUMNS[:-1], "uploaded to", _COLUMNS[-1]], cells


def _upload(upload: UploadState | None) -> str:
    if upload is None:
        return _ABSENT
    return printable(upload.url if upload.files is not None else f"not yet: {upload.url}")


def rows(entries: Sequence[Entry]) -> list[list[str]]:
    """The table's cells, but for uploads."""
    return [_row(entry) for entry in entries]


def _row(entry: Entry) -> list[str]:
    run = entry.run
    if run is None:
        return [entry.name, "", entry.status, "", "", "", "", "", ""]
    speed = run.record.megabytes_per_second
    return [
        entry.name,
        f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}",
        entry.status,
        _stack(run.record),
        _or_dash(run.record.scenes),
        "-" if run.seconds is None else f"{run.seconds:.1f} s",
        "-" if speed is None else f"{speed:.1f}",
        _or_dash(run.record.retries),
        " ".join(without_folder(run.record.overrides)),
    ]


def _stack(run: Run) -> str:
    """The name of the stack, or how many stacks of an archive are done."""
    if run.archive:
        outside = run.archive.statuses.get(OUTSIDE, 0)
        done = f"{run.archive.done:,} of {plural(run.archive.stacks, 'stack')}"
        return f"{done}, {outside:,} outside" if outside else done
    return f"{run.stack_name}, an archive" if run.is_archive else run.stack_name


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys in which these configs are not all the same, the runs' own folders left out; in order."""
    keys = dict.fromkeys(key for config in settings if config for key in config if key not in _OWN)
    return [key for key in keys if len({as_text(config.get(key, _ABSENT)) for config in settings if config}) > 1]


def describe(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The runs as JSON objects, with every setting in which they differ."""
    keys = differing([entry.settings for entry in entries])
    return [_describe(entry, keys) for entry in entries]


def _describe(entry: Entry, keys: Sequence[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": entry.name, "folder": str(entry.path), "status": entry.status}
    if entry.run is None:
        return {**facts, "problem": entry.problem}
    run = entry.run
    return {
        **facts,
        "started": run.started.isoformat(),
        "stack": run.record.stack_name,
        **({"stacks": run.record.archive.statuses} if run.record.archive else {}),
        "scenes": run.record.scenes,
        "seconds": run.seconds,
        "megabytes_per_second": run.record.megabytes_per_second,
        "retries": run.record.retries,
        "error": run.error,
        "overrides": run.record.overrides,
        **({"upload": {"url": upload.url, "complete": upload.files is not None}} if (upload := entry.upload) else {}),
        "settings": {key: entry.settings[key] for key in keys if key in entry.settings},
    }


VERB = Verb("ls", "the runs below a folder, newest first", _EXAMPLES, _arguments, _run)
