"""The stacks of an archive as rows for people: those that failed with their errors, the slowest, and all."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from runner.base import humanize
from runner.record.stacks import FOLDER, StackRow
from runner.report.archive_folder import ArchiveContents
from runner.report.charts import bar, tag
from runner.report.stack_map import rank, unfinished

_SLOWEST: Final = 10
_MOST_ERRORS: Final = 200
_LONGEST_ERROR: Final = 4000  # characters
_FEW: Final = 60  # rows that are shown at once


class Column(NamedTuple):
    """A column of the table: its head, the class of its cells, and the text of a stack."""

    head: str
    css: str
    text: Callable[[StackRow, int], Markup | str]


class StackTable(NamedTuple):
    """Cells of all stacks, the worst first; what every one has and has alike stands in `shared`."""

    heads: list[tuple[str, str]]  # with a class
    rows: list[tuple[str, list[Markup | str]]]  # with the class of the row
    shared: str
    open: bool


def stack_link(row: StackRow) -> Markup | str:
    """The name, with a link to the stack's own page where its run has begun."""
    return tag("a", row.stack, href=f"{FOLDER}/{quote(row.stack)}/report.html") if row.worker else row.stack


def worst_first(rows: Sequence[StackRow]) -> list[int]:
    """The numbers of the rows, the failed ones first."""
    return sorted(range(len(rows)), key=lambda number: rank(rows[number].status))


def failed_rows(rows: Sequence[StackRow]) -> tuple[list[tuple[Markup | str, str, str]], int]:
    """(name, status, error) of the stacks that did not end well, and how many more there are."""
    failed = [rows[number] for number in worst_first(rows) if rows[number].error and unfinished(rows[number].status)]
    shown = [(stack_link(row), row.status, humanize.cut(row.error or "", _LONGEST_ERROR)) for row in failed]
    return shown[:_MOST_ERRORS], max(len(shown) - _MOST_ERRORS, 0)


def slowest_rows(rows: Sequence[StackRow]) -> list[list[Markup | str]]:
    """Name, bar, seconds, scenes, bytes and rate of the stacks that took longest."""
    timed = sorted((row for row in rows if row.seconds), key=lambda row: -(row.seconds or 0))[:_SLOWEST]
    longest = (timed[0].seconds if timed else None) or 1.0
    return [
        [
            stack_link(row),
            bar((row.seconds or 0) / longest),
            humanize.seconds(row.seconds),
            humanize.count(row.scenes),
            humanize.size(row.bytes),
            humanize.rate(humanize.ratio(row.bytes, row.seconds)),
        ]
        for row in timed
    ]


def stack_table(contents: ArchiveContents) -> StackTable:
    """All stacks, fact by fact."""
    rows, columns = contents.rows, _columns(contents)
    order = worst_first(rows)
    cells = [[column.text(rows[number], number) for column in columns] for number in order]
    places = range(len(columns))
    values = [list(dict.fromkeys(str(row[at]) for row in cells)) for at in places]
    shown = [at for at in places if at == 0 or len(rows) == 1 or len(values[at]) > 1]
    alike = [at for at in places if at not in shown and values[at] not in ([], [humanize.UNKNOWN])]
    shared = [f"{columns[at].head} {values[at][0]}" for at in alike]
    table = [(rows[number].status.lower(), [row[at] for at in shown]) for number, row in zip(order, cells, strict=True)]
    return StackTable(
        [(columns[at].head, columns[at].css) for at in shown], table, "; ".join(shared), len(rows) <= _FEW
    )


def _columns(contents: ArchiveContents) -> list[Column]:
    means = contents.means
    columns = [
        Column("stack", "name", lambda row, _: stack_link(row)),
        Column("status", "", lambda row, _: row.in_words),
        Column("scenes", "r", lambda row, _: humanize.count(row.scenes)),
        Column("skipped", "r", lambda row, _: humanize.count(row.left_out)),
        Column("pixels", "r", lambda row, _: _pixels(row)),
        Column("type", "", lambda row, _: row.dtype or humanize.UNKNOWN),
        Column("CRS", "", lambda row, _: row.crs or humanize.UNKNOWN),
        Column("zones", "r", lambda row, _: humanize.count(row.zones)),
    ]
    if means is not None:
        levels = means.of_stacks(means.values, len(contents.rows), means.units)
        columns.append(Column(means.statistic, "r", lambda _, number: humanize.value(float(levels[number]))))
        if means.valid is not None:
            valid = means.of_stacks(means.valid, len(contents.rows))
            columns.append(Column("valid", "r", lambda _, number: humanize.percent(float(valid[number]))))
    return [
        *columns,
        Column("fetched", "r", lambda row, _: humanize.size(row.bytes)),
        Column("took", "r", lambda row, _: humanize.seconds(row.seconds)),
        Column("rate", "r", lambda row, _: humanize.rate(humanize.ratio(row.bytes, row.seconds))),
        Column("worker", "", lambda row, _: row.worker or humanize.UNKNOWN),
    ]


def _pixels(row: StackRow) -> str:
    return humanize.UNKNOWN if row.height is None or row.width is None else humanize.sides((row.height, row.width))
