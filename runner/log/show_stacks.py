"""The stacks of an archive as `show` prints them."""

from collections.abc import Sequence
from typing import Final

from runner.base import humanize
from runner.base.console import say, show_table, table
from runner.errors import RecordError, printable
from runner.record.run import Run
from runner.record.run_folder import RunFolder
from runner.record.stack_rows import rows_now
from runner.record.stacks import FOLDER, OUTSIDE, STACKS, StackRow

MOST_STACKS: Final = 40
_COLUMNS: Final = ["stack", "status", "CRS", "type", "scenes", "pixels", "fetched", "took", "rate"]
_MOST_ZONES: Final = 10  # names
_LEFT: Final = 4  # columns of words
_ORDER: Final = ("FAILED", "KILLED", "INTERRUPTED", "RUNNING", "WAITING", OUTSIDE, "COMPLETED")
_UNKNOWN: Final = "-"


def stacks_in_words(run: Run) -> str:
    """How many stacks there are, by which groups, and how many have ended in which way."""
    if run.archive is None:
        return "its scenes were not found"
    archive = run.archive
    by = f" by {', '.join(archive.stack_by)}"
    speed = run.megabytes_per_second
    amounts = [humanize.plural(archive.scenes, "scene")]
    amounts += [f"{humanize.size(archive.bytes)} fetched"] if archive.bytes is not None else []
    amounts += [humanize.rate(speed * 1e6)] if speed is not None else []
    return f"{humanize.plural(archive.stacks, 'stack')}{by}: {_counted(archive.statuses)}; {', '.join(amounts)}"


def zones_in_words(run: Run) -> str | None:
    """The zones of an archive, and those that none of its complete stacks has; None without a stage over zones."""
    zones = run.archive and run.archive.zones
    if not zones:
        return None
    names = humanize.listed([*map(printable, zones.names_in_no_stack)], _MOST_ZONES, total=zones.in_no_stack)
    in_none = f", {zones.in_no_stack:,} of them in no complete stack: {names}" if zones.in_no_stack else ""
    return f"{humanize.plural(zones.zones, 'zone')}{in_none}"


def _counted(statuses: dict[str, int]) -> str:
    known = [*(status for status in _ORDER if status in statuses), *sorted(set(statuses) - set(_ORDER))]
    return ", ".join(f"{statuses[status]:,} {status.lower()}" for status in known[::-1])


def show_stacks(archive: RunFolder, most: int | None) -> None:
    """Print a row for each stack, those that did not end well first, and then their errors in full."""
    try:
        rows = sorted(rows_now(archive), key=_rank)
    except RecordError as error:
        say(str(error))
        return
    if not rows:
        return
    show_table(table("", _COLUMNS, [_cells(row) for row in rows[:most]], _LEFT))
    if len(rows[:most]) < len(rows):
        say(f"and {len(rows) - len(rows[:most]):,} more: show --all prints them, {STACKS} has them")
    _show_errors([row for row in rows if row.error and row.status != OUTSIDE], most)


def _rank(row: StackRow) -> int:
    return _ORDER.index(row.status) if row.status in _ORDER else 0


def _cells(row: StackRow) -> list[str]:
    known = row.height is not None and row.width is not None
    return [
        row.stack,
        row.status,
        row.crs or _UNKNOWN,
        row.dtype or _UNKNOWN,
        _UNKNOWN if row.scenes is None else f"{row.scenes:,}",
        f"{row.width} x {row.height}" if known else _UNKNOWN,
        _UNKNOWN if row.bytes is None else humanize.size(row.bytes),
        _UNKNOWN if row.seconds is None else humanize.seconds(row.seconds),
        _UNKNOWN if row.bytes is None or not row.seconds else humanize.rate(row.bytes / row.seconds),
    ]


def _show_errors(failed: Sequence[StackRow], most: int | None) -> None:
    for row in failed[:most]:
        say(printable(f"{FOLDER}/{row.stack}: {row.status}: {row.error}"))
    if len(failed[:most]) < len(failed):
        say(f"and {len(failed) - len(failed[:most]):,} more errors: show --all prints them, {STACKS} has them")
