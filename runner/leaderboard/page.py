"""The page of a leaderboard, `sweep.html`: one file that loads nothing."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from markupsafe import Markup

from runner.base import humanize
from runner.base.atomic import write_text
from runner.base.command import COMMAND
from runner.leaderboard import agreement, figures, table
from runner.leaderboard.answer import answer, bits_in_words, clear_difference, reasons_once, tie_rule
from runner.leaderboard.attempts import Sweep
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.labels import short_keys, shown_keys
from runner.leaderboard.pareto import pareto_figure
from runner.leaderboard.records import Status
from runner.leaderboard.rows import Row
from runner.record.run import Run
from runner.report.charts import bar, template

PAGE: Final = "sweep.html"
_TEMPLATE: Final = Path(__file__).with_name("sweep.html.j2")
_FEW_VERSIONS: Final = ("cog-stack-runner", "dask", "distributed", "numpy", "numba", "rasterio", "GDAL", "obstore")


class Figure(NamedTuple):
    """One of the figures at the top."""

    name: str
    shown: str
    note: Markup | str = ""


class Line(NamedTuple):
    """A row of the table: its cells, and a bar for the first objective."""

    row: Row
    link: str | None  # to the report of its first run
    place: str
    settings: list[str]
    bar: Markup
    numbers: list[str]
    values: str
    css: str
    reason: str


def write_page(board: Leaderboard, best: str | None) -> Path:
    """Write the page and return its path; `best` is the text of the winner's config. Raises OutputError."""
    path = board.sweep.path / PAGE
    write_text(path, template(_TEMPLATE).render(_context(board, best)))
    return path


def _context(board: Leaderboard, best: str | None) -> dict[str, Any]:
    """The values of the template."""
    first, *others = answer(board)
    keys = short_keys(shown_keys(board.rows))
    numbers = table.figures(board)
    return {
        "board": board,
        "title": humanize.breakable(f"Sweep of {', '.join(keys.values())}" if keys else "Sweep"),
        "state": _state(board),
        "status": _status(board),
        "subtitle": _subtitle(board),
        "answer": humanize.breakable(first),
        "answers": others,
        "figures": list(_figures(board)),
        "keys": [humanize.breakable(name) for name in keys.values()],
        "heads": list(numbers),
        "barred": "memory" if board.sweep.objective[0] == "peak" and "memory" in numbers else "wall",
        "lines": [_line(board, row, keys, numbers) for row in board.rows],
        "rule": tie_rule(board),
        "tolerance": f"{agreement.TOLERANCE:g}",
        "pareto": pareto_figure(board),
        "axes": figures.axes_figure(board),
        "order": figures.order_figure(board),
        "best": best,
        "use": shlex.join([COMMAND, "--config-dir", str(board.sweep.path), "experiment=best"]),
        "facts": [(title, rows) for title, rows in _facts(board) if rows],
    }


def _state(board: Leaderboard) -> str:
    """The class of the page, which colours it."""
    if board.exit_code:
        return "failed"
    if board.sweep.status == "COMPLETED" and (_refused(board) or board.unlike):
        return "partly"
    return {"RUNNING": "running", "INTERRUPTED": "interrupted", "KILLED": "killed"}.get(board.sweep.status, "completed")


def _refused(board: Leaderboard) -> int:
    return sum(row.status is Status.REFUSED for row in board.rows)


def _status(board: Leaderboard) -> str:
    """The sweep's status, how many of its jobs were refused, and whether none could win."""
    refused = _refused(board)
    parts = [f"{refused} of {len(board.rows)} refused"] if refused else []
    return ", ".join([board.sweep.status, *parts, *(["no winner"] if board.unlike else [])])


def _subtitle(board: Leaderboard) -> str:
    sweep = board.sweep
    repeats = sorted({len(row.walls) for row in board.rows if row.walls})
    times = humanize.span(repeats[0], repeats[-1] + 1) if repeats else humanize.UNKNOWN
    each = "once" if repeats == [1] else f"{times} times"
    return f"{humanize.plural(len(board.rows), 'job')}, each run {each} {_where(sweep)}"


def _where(sweep: Sweep) -> str:
    """The processes of the jobs, which the launcher of a plain multirun chose."""
    if sweep.isolated:
        return "in a fresh process"
    if sweep.processes == 1:
        return "in one process, one after the other"
    return "in a process of its own" if sweep.processes == len(sweep.runs) else f"in one of {sweep.processes} processes"


def _figures(board: Leaderboard) -> Iterator[Figure]:
    """The figures at the top; without a winner, none of them praises a job."""
    ranked = [row for row in board.rows if row.rank] if board.best else []
    if ranked:
        fastest = min(ranked, key=lambda row: row.wall_seconds or float("inf"))
        yield Figure("fastest", humanize.seconds(fastest.wall_seconds), _named(board, fastest))
    if board.baseline and board.baseline.wall_seconds:
        most = max((row.ratio for row in ranked if row.ratio), default=None)
        yield Figure(
            "baseline",
            humanize.seconds(board.baseline.wall_seconds),
            f"the fastest is {most:.3g}x as fast" if most else "",
        )
    small = min((row for row in ranked if row.peak_bytes), key=lambda row: row.peak_bytes or 0.0, default=None)
    if small:
        yield Figure("lowest memory", humanize.size(small.peak_bytes), _named(board, small))
    completed = sum(row.status is Status.COMPLETED for row in board.rows)
    failed = sum(row.failed for row in board.rows)
    yield Figure("jobs completed", f"{completed} of {len(board.rows)}", _trouble(failed, _refused(board)))
    if board.unlike:
        return
    yield Figure(
        "smallest clear difference",
        f"{100 * clear_difference(board):.2g} %",
        "assumed" if board.noise.assumed else "from the spread of the repeats",
    )
    yield Figure("same bits", *bits_in_words(board))


def _trouble(failed: int, refused: int) -> str:
    counts = {"failed": failed, "refused": refused}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _named(board: Leaderboard, row: Row) -> Markup:
    return humanize.breakable(humanize.cut(board.names[row.job], 80))


def _line(board: Leaderboard, row: Row, keys: Mapping[str, str], numbers: Mapping[str, table.Cell]) -> Line:
    first = board.sweep.objective[0]
    reason = next((text for rows, text in reasons_once(board.rows) if rows[-1].job == row.job), "")
    most = max((other.level(first) or 0.0 for other in board.rows if other.measured), default=0.0)
    share = humanize.ratio(row.level(first), most) if row.measured else None
    paths = [attempt.path / "report.html" for attempt in row.attempts]
    link = next((f"{path.parent.name}/{path.name}" for path in paths if path.is_file()), None)
    css = "bad" if row.failed or row.differs else "best" if row is board.best else "out" if not row.measured else ""
    settings = [row.settings.get(key, humanize.UNKNOWN) for key in keys]
    shown = [cell(row) for cell in numbers.values()]
    return Line(row, link, table.place(row), settings, bar(share), shown, table.values(row), css, reason)


# --- provenance -------------------------------------------------------------------------------------------------------


def _facts(board: Leaderboard) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """The sections of the provenance."""
    sweep = board.sweep
    yield "Sweep", list(_sweep_facts(board))
    yield "Settings of the sweep", list(_settings(sweep))
    row = board.best or next((row for row in board.rows if row.completed), None)
    machine = _machine(row.run.record) if row and row.run else []
    yield "Machine and versions", [(name, str(value)) for name, value in machine if value]


def _machine(run: Run) -> list[tuple[str, object]]:
    return [
        ("host", run.host), ("cores", run.cores), ("memory", run.memory_bytes and humanize.size(run.memory_bytes)),
        ("platform", run.platform), ("Python", run.python), ("commit", run.code and run.code.commit),
        *((name, run.versions.get(name)) for name in _FEW_VERSIONS),
    ]  # fmt: skip


def _settings(sweep: Sweep) -> Iterator[tuple[str, str]]:
    settings = msgspec.to_builtins(sweep.settings) if sweep.isolated else {}
    for name, value in settings.items():
        if value is not None:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _sweep_facts(board: Leaderboard) -> Iterator[tuple[str, str]]:
    sweep, record = board.sweep, board.sweep.record
    typed = (record.command[1:] or record.overrides) if record else ()
    yield "folder", str(sweep.path)
    if typed:
        yield "command", shlex.join([COMMAND, *typed])
    if board.baseline and board.baseline.attempts:
        yield "baseline", " ".join(board.baseline.attempts[0].record.overrides) or "the defaults"
    first = (record and record.first_started) or sweep.started
    yield "started", f"{first:%Y-%m-%d %H:%M:%S} UTC"
    if first != sweep.started:
        yield "resumed", f"{sweep.started:%Y-%m-%d %H:%M:%S} UTC"
    if record and record.ended:
        seconds = humanize.seconds((record.ended - sweep.started).total_seconds())
        yield "took", seconds if first == sweep.started else f"{seconds} since it was resumed"
    yield "ranked by", ", then by ".join(figures.MEASURES[objective] for objective in sweep.objective)
    if not sweep.isolated:
        shared = sweep.processes < len(sweep.runs)
        yield "wall time", "as each run measured it, without the start of Python"
        yield "memory", f"of the passes{', including what earlier jobs left in the process' if shared else ''}"
