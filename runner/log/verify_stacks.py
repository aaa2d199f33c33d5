"""An archive verified: each complete stack as a run of its own, and the tables of all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.base.console import hushed, say
from runner.base.humanize import listed, plural
from runner.errors import RecordError, printable
from runner.log.check import Check, Verdict
from runner.record.run import parted_by
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, OUTSIDE, STACKS, WAITING, StackRow, left_out_by_reason, read_stacks

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_NAMED: Final = 5
ChecksOf = Callable[[RunFolder], Iterator[Check]]


def rows_to_verify(archive: RunFolder) -> tuple[StackRow, ...]:
    """The stacks of an archive. Raises RecordError for one that is running, or that has no table of its stacks."""
    if archive.status == "RUNNING":
        raise RecordError(f"{archive.path} is RUNNING: wait for its end, or name one of its stacks that is complete")
    return read_stacks(archive.path)


def verify_archive(archive: RunFolder, rows: Sequence[StackRow], checks_of: ChecksOf) -> tuple[int, int]:
    """Print a line for each stack and table, and each check that it does not pass; how many do not, of how many."""
    complete: dict[str, RunFolder] = {}
    incomplete: dict[str, str] = {}  # with how they ended
    for row in (row for row in rows if row.status != OUTSIDE):
        run = _run(archive.path / FOLDER / row.stack)
        if isinstance(run, RunFolder) and run.status == "COMPLETED":
            complete[row.stack] = run
        else:
            incomplete[row.stack] = run.status if isinstance(run, RunFolder) else run
    verdicts = [tell_checks(name, _stack_checks(run, checks_of)) for name, run in complete.items()]
    verdicts += [tell_checks(check.what, [check]) for check in _check_tables(archive, rows)]
    for reason, names in left_out_by_reason(rows).items():
        text = f"{plural(len(names), 'stack')} {reason}, with no results to verify"
        say(printable(f"{'-':<8} {text}: {listed(names, _MOST_NAMED)}"))
    if incomplete:
        say(printable(f"{Verdict.unknown.value:<8} {_in_words(incomplete)}"))
    return sum(verdicts) + len(incomplete), len(verdicts) + len(incomplete)


def _run(folder: Path) -> RunFolder | str:
    """The run of a stack, or why there is none."""
    try:
        return read_run(folder) if (folder / "run.json").exists() else WAITING
    except RecordError as error:
        return str(error)


def _in_words(incomplete: Mapping[str, str]) -> str:
    named = listed([f"{name} ({end})" for name, end in incomplete.items()], _MOST_NAMED)
    verb = "is" if len(incomplete) == 1 else "are"
    return f"{plural(len(incomplete), 'stack')} {verb} not complete, and left no results to verify: {named}"


def _stack_checks(run: RunFolder, checks_of: ChecksOf) -> list[Check]:
    try:
        with hushed():
            return list(checks_of(run))
    except RecordError as error:
        return [Check("run", Verdict.unknown, str(error))]


def tell_checks(name: str, checks: Sequence[Check]) -> bool:
    """Print what a stack does not pass, or a line that it passes all; True if it does not."""
    problems = [check for check in checks if check.verdict is not Verdict.ok]
    for check in problems:
        what = "" if check.what in (name, "run") else f"{check.what}: "
        say(printable(f"{check.verdict.value:<8} {name}: {what}{check.text}"))
    if not problems:
        text = checks[0].text if len(checks) == 1 else plural(len(checks), "check")
        say(printable(f"{Verdict.ok.value:<8} {name}: {text}"))
    return bool(problems)


# --- tables -----------------------------------------------------------------------------------------------------------


def _check_tables(archive: RunFolder, rows: Sequence[StackRow]) -> Iterator[Check]:
    """Hold the table of stacks against their runs, and the tables of all scenes against those of the stacks."""
    if archive.status == "KILLED":
        text = "the archive was killed before it wrote them; log resume goes on with it"
        yield Check("tables of all stacks", Verdict.unknown, text)
        return
    yield _check_statuses(archive, rows)
    yield from _check_rows(archive, {row.stack: row.values for row in rows if row.status == "COMPLETED"})


def _check_statuses(archive: RunFolder, rows: Sequence[StackRow]) -> Check:
    complete = {row.stack for row in rows if row.status == "COMPLETED"}
    recorded = archive.record.archive.done if archive.record.archive else 0
    if len(complete) != recorded:
        text = f"{len(complete)} stacks are complete in it, {recorded} in run.json; one of both was altered"
        return Check(STACKS, Verdict.failed, text)
    return Check(STACKS, Verdict.ok, f"{plural(len(rows), 'stack')}, {len(complete)} of them complete, as in run.json")


def _check_rows(archive: RunFolder, complete: Mapping[str, Mapping[str, str | None]]) -> Iterator[Check]:
    from runner.archive.tables import combined_tables  # noqa: PLC0415 - as in runner.record.stacks

    stages = archive.config["stages"]
    statistics = {stage: of["statistics"] for stage, of in stages.items() if of["over"] != "time"}
    try:
        tables = list(combined_tables(archive.path, parted_by(archive.config), statistics, complete))
    except RecordError as error:
        yield Check("tables of all stacks", Verdict.unknown, str(error))
        return
    for stage, expected in tables:
        yield _check_table(archive.path / f"{stage}.parquet", expected)


def _check_table(path: Path, expected: "pa.Table") -> Check:
    import pyarrow as pa  # noqa: PLC0415 - as in runner.record.stacks
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        with pq.ParquetFile(path) as stored:
            table = stored.read()
    except (OSError, pa.ArrowException) as error:
        return Check(path.name, Verdict.failed, f"cannot be read: {error}")
    if table.schema.names == expected.schema.names and table.equals(expected):
        return Check(path.name, Verdict.ok, f"{expected.num_rows:,} rows, those of the stacks")
    return Check(path.name, Verdict.failed, "its rows are not those of the stacks; it was altered")
