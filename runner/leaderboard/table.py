"""The leaderboard as a table: `sweep.parquet` for programs, and what fits a terminal."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runner.base import humanize
from runner.leaderboard import agreement
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.labels import short_keys, shown_keys
from runner.leaderboard.records import Status
from runner.leaderboard.rows import Row

PARQUET: Final = "sweep.parquet"
WIDTH: Final = 100  # characters of a terminal that a table must fit
FOLDED: Final = "settings"  # the head of the column with all keys, where they do not fit
_GAP: Final = 2
_NONE: Final = humanize.UNKNOWN


# --- for programs -----------------------------------------------------------------------------------------------------


def write_parquet(path: Path, board: Leaderboard) -> None:
    """A row per job, best first: seconds, bytes, and a text column per key that varied. Raises OutputError."""
    import pyarrow as pa  # noqa: PLC0415 - a quarter of a second that --json spares

    from runner.output.table import write_table  # noqa: PLC0415 - as above

    keys = list(dict.fromkeys(key for row in board.rows for key in row.settings))
    number, whole, text = pa.float64(), pa.int64(), pa.string()
    schema = pa.schema(
        [
            ("job", whole), ("rank", whole), ("tied", pa.bool_()), ("on_front", pa.bool_()), ("baseline", pa.bool_()),
            ("status", text), ("reason", text), *((key, text) for key in keys), ("completed", whole),
            ("wall_seconds", number), ("wall_seconds_each", pa.list_(number)), ("cpu_seconds", number),
            ("peak_bytes", number), ("fetched_bytes", number), ("requests", number), ("megabytes_per_second", number),
            ("first_rung_seconds", number), ("speed_to_baseline", number), ("bits", text), ("bits_sha256", text),
            ("largest_relative_difference", number), ("folders", pa.list_(text)),
        ]
    )  # fmt: skip
    rows = [{**facts, **facts["settings"]} for facts in describe(board)["jobs"]]
    write_table(path, pa.Table.from_pylist(rows, schema=schema))


def describe(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard as JSON."""
    best = board.best
    return {
        "sweep": str(board.sweep.path),
        "status": board.sweep.status,
        "objective": list(board.sweep.objective),
        "best": None if best is None else best.job,
        "noise": {"relative": board.noise.relative, "degrees_of_freedom": board.noise.freedom},
        "same_bits": not board.disagreeing,
        "different_work": list(board.unlike),
        "problems": list(board.sweep.problems),
        "jobs": [_describe(row) for row in board.rows],
    }


def _describe(row: Row) -> dict[str, Any]:
    apart = row.agreement.apart
    return {
        "job": row.job, "rank": row.rank, "tied": row.tied, "on_front": row.front, "baseline": row.baseline,
        "status": row.status, "reason": row.reason, "settings": dict(row.settings), "completed": len(row.completed),
        "wall_seconds": row.wall_seconds, "wall_seconds_each": row.walls, "cpu_seconds": row.cpu_seconds,
        "peak_bytes": row.peak_bytes, "fetched_bytes": row.fetched_bytes, "requests": row.requests,
        "megabytes_per_second": row.megabytes_per_second, "first_rung_seconds": row.few_seconds,
        "speed_to_baseline": row.ratio, "bits": row.agreement.verdict, "bits_sha256": row.agreement.sha256,
        "largest_relative_difference": apart, "folders": [attempt.path.name for attempt in row.attempts],
    }  # fmt: skip


# --- for people -------------------------------------------------------------------------------------------------------

Cell = Callable[[Row], str]


def figures(board: Leaderboard) -> dict[str, Cell]:
    """Columns of numbers by their heads, without those in which all values are unknown."""
    cells: dict[str, Cell] = {
        "wall": wall,
        "speed": speed,
        "CPU": lambda row: humanize.seconds(row.cpu_seconds),
        "memory": lambda row: humanize.size(row.peak_bytes),
        "fetched": lambda row: humanize.size(row.fetched_bytes),
        "requests": lambda row: humanize.count(row.requests),
        "rate": lambda row: humanize.rate(row.megabytes_per_second and 1e6 * row.megabytes_per_second),
        "few scenes": lambda row: humanize.seconds(row.few_seconds),
    }
    known = {name: any(cell(row) != _NONE for row in board.rows) for name, cell in cells.items()}
    return {name: cell for name, cell in cells.items() if known[name]}


def wall(row: Row) -> str:
    """The median with half the range in percent; the status of a job that did not complete."""
    if row.rank is None and row.status is not Status.COMPLETED:
        return row.status
    return humanize.seconds(row.wall_seconds) + ("" if row.spread is None else f" ±{100 * row.spread:.0f}%")


def speed(row: Row) -> str:
    """The speed relative to the baseline."""
    if row.baseline:
        return "baseline"
    return _NONE if row.ratio is None else f"{row.ratio:.2f}x"


def place(row: Row) -> str:
    """The rank, with = for ties."""
    return "" if row.rank is None else f"{row.rank}{'=' if row.tied else ''}"


def values(row: Row) -> str:
    """The verdict on its bits, or the largest difference of its values."""
    own = row.agreement
    if own.verdict == agreement.CLOSE:
        return "equal" if own.apart == 0 else f"\N{LESS-THAN OR EQUAL TO}{own.apart:.1g}"
    verdicts = {
        agreement.SAME: "same",
        agreement.DIFFER: "DIFFER",
        agreement.ALONE: "only one",
        agreement.UNKNOWN: "unknown",
    }
    return verdicts.get(own.verdict, "")


def cells(board: Leaderboard, width: int = WIDTH) -> tuple[list[str], list[list[str]], list[str]]:
    """Heads, rows, and the heads of columns with text.

    Each key has a column; all share one if that table would be wider than `width`. Columns of numbers are left out
    before that, one by one: the page and the Parquet file have them too.
    """
    numbers = figures(board)
    keys = short_keys(shown_keys(board.rows))
    numbering: dict[str, Cell] = {"rank": place, "job": lambda row: str(row.job)}
    settings: dict[str, Cell] = {name: _setting(key) for key, name in keys.items()}
    optional = [name for name in ("requests", "few scenes", "fetched", "CPU", "rate") if name in numbers]
    for dropped in range(len(optional) + 1):
        kept = {name: cell for name, cell in numbers.items() if name not in optional[:dropped]}
        columns = _columns(board.rows, {**numbering, **settings, **kept, "bits": values})
        if _width(columns) <= width:
            return list(columns), _transposed(columns), list(settings)
    kept = {name: cell for name, cell in numbers.items() if name not in optional}
    folded: Cell = lambda row: board.names[row.job]  # noqa: E731 - one of many cells
    columns = _columns(board.rows, {**numbering, FOLDED: folded, **kept, "bits": values})
    return list(columns), _transposed(columns), [FOLDED]


def _setting(key: str) -> Cell:
    return lambda row: row.settings.get(key, "baseline" if row.baseline and not row.settings else _NONE)


def _columns(rows: Sequence[Row], cells: Mapping[str, Cell]) -> dict[str, list[str]]:
    return {head: [cell(row) for row in rows] for head, cell in cells.items()}


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(_GAP + max(map(len, [head, *column])) for head, column in columns.items())


def _transposed(columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    return [list(row) for row in zip(*columns.values(), strict=True)]
