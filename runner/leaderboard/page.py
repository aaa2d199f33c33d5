"""From a leaderboard to its page, `sweep.html`: one file that loads nothing."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from runner import report
from runner.base import humanize
from runner.base.atomic import write_text
from runner.base.command import COMMAND
from runner.leaderboard import agreement, figures, table
from runner.leaderboard.attempts import Sweep
from runner.leaderboard.board import Leaderboard, answer, bits_in_words, reasons_once, tie_rule
from runner.leaderboard.labels import short_keys, shown_keys
from runner.leaderboard.rows import Row
from runner.report.charts import bar

PAGE: Final = "sweep.html"
_FEW_VERSIONS: Final = ("cog-stack-runner", "dask", "distributed", "numpy", "numba", "rasterio", "GDAL", "obstore")


class Figure(NamedTuple):
    """One of the figures at the top."""

    name: str
    shown: str
    note: Markup | str = ""


class Line(NamedTuple):
    """A row of the table: its cells in words and numbers, and a bar for what it is ranked by."""

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
    """Make the page, `best` being the text of the winner's config; its path. Raises OutputError."""
    path = board.sweep.path / PAGE
    write_text(path, _render(_context(board, best)))
    return path


def _render(context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 50 ms, for the page alone

    assert report.__file__
    folders = [Path(__file__).parent, Path(report.__file__).parent]  # the style is that of the runs' reports
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["text"] = humanize
    return environment.get_template("sweep.html.j2").render(context)


def _context(board: Leaderboard, best: str | None) -> dict[str, Any]:
    """Everything the template shows."""
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
        "pareto": figures.pareto_figure(board),
        "axes": figures.axes_figure(board),
        "order": figures.order_figure(board),
        "best": best,
        "use": shlex.join([COMMAND, "--config-dir", str(board.sweep.path), "experiment=best"]),
        "facts": [(title, rows) for title, rows in _facts(board) if rows],
    }


def _state(board: Leaderboard) -> str:
    """What colours the page."""
    if board.exit_code:
        return "failed"
    if board.sweep.status == "COMPLETED" and (_refused(board) or board.unlike):
        return "partly"
    return {"RUNNING": "running", "INTERRUPTED": "interrupted", "KILLED": "killed"}.get(board.sweep.status, "completed")


def _refused(board: Leaderboard) -> int:
    return sum(row.status == "REFUSED" for row in board.rows)


def _status(board: Leaderboard) -> str:
    """The sweep's status, how many of its jobs were refused, and whether none could win."""
    refused = _refused(board)
    said = [f"{refused} of {len(board.rows)} refused"] if refused else []
    return ", ".join([board.sweep.status, *said, *(["no winner"] if board.unlike else [])])


def _subtitle(board: Leaderboard) -> str:
    sweep = board.sweep
    repeats = sorted({len(row.walls) for row in board.rows if row.walls})
    times = humanize.span(repeats[0], repeats[-1] + 1) if repeats else humanize.UNKNOWN
    each = "once" if repeats == [1] else f"{times} times"
    return f"{humanize.plural(len(board.rows), 'job')}, each run {each} {_where(sweep)}"


def _where(sweep: Sweep) -> str:
    """In what processes: those of a plain multirun are its launcher's affair."""
    if sweep.isolated:
        return "in a fresh process"
    if sweep.processes == 1:
        return "in one process, one after the other"
    own = sweep.processes == sum(one.run is not None for one in sweep.attempts)
    return "in a process of its own" if own else f"in one of {sweep.processes} processes"


def _figures(board: Leaderboard) -> Iterator[Figure]:
    """The figures at the top."""
    ranked = [row for row in board.rows if row.rank]
    if ranked:
        fastest = min(ranked, key=lambda row: row.wall_seconds or float("inf"))
        yield Figure("fastest", humanize.seconds(fastest.wall_seconds), _named(board, fastest))
    if board.baseline and board.baseline.wall_seconds:
        most = max((row.ratio for row in ranked if row.ratio), default=None)
        yield Figure(
            "baseline",
            humanize.seconds(board.baseline.wall_seconds),
            f"the fastest has {most:.3g}x its speed" if most else "",
        )
    small = min((row for row in ranked if row.peak_bytes), key=lambda row: row.peak_bytes or 0.0, default=None)
    if small:
        yield Figure("lowest memory", humanize.size(small.peak_bytes), _named(board, small))
    done = sum(row.status == "COMPLETED" for row in board.rows)
    failed = sum(row.failed for row in board.rows)
    yield Figure("jobs completed", f"{done} of {len(board.rows)}", _trouble(failed, _refused(board)))
    if board.unlike:
        return
    yield Figure(
        "smallest clear difference",
        f"{100 * _least(board):.2g} %",
        "assumed" if board.noise.assumed else "by the repeats",
    )
    yield Figure("same bits", *bits_in_words(board))


def _trouble(failed: int, refused: int) -> str:
    counts = ((failed, "failed"), (refused, "refused"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _named(board: Leaderboard, row: Row) -> Markup:
    return humanize.breakable(humanize.cut(board.names[row.job], 80))


def _least(board: Leaderboard) -> float:
    many = sorted(len(row.walls) for row in board.rows if row.rank) or [1]
    return board.noise.least_difference(many[len(many) // 2], many[len(many) // 2])


def _line(board: Leaderboard, row: Row, keys: Mapping[str, str], numbers: Mapping[str, table.Cell]) -> Line:
    first = board.sweep.objective[0]
    reason = next((said for rows, said in reasons_once(board.rows) if rows[-1].job == row.job), "")
    most = max((one.level(first) or 0.0 for one in board.rows if one.measured), default=0.0)
    share = humanize.ratio(row.level(first), most) if row.measured else None
    paths = [one.path / "report.html" for one in row.attempts]
    link = next((f"{path.parent.name}/{path.name}" for path in paths if path.is_file()), None)
    css = "bad" if row.failed or row.differs else "best" if row is board.best else "out" if not row.measured else ""
    settings = [row.settings.get(key, humanize.UNKNOWN) for key in keys]
    shown = [cell(row) for cell in numbers.values()]
    return Line(row, link, table.place(row), settings, bar(share), shown, table.values(row), css, reason)


# --- how it came about ------------------------------------------------------------------------------------------------


def _facts(board: Leaderboard) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Titles, each with its facts."""
    sweep = board.sweep
    yield "Sweep", list(_sweep_facts(board))
    yield "Settings of the sweep", [(name, _as_typed(of)) for name, of in sweep.settings.items() if of is not None]
    row = board.best or next((row for row in board.rows if row.completed), None)
    run = next((one.run for one in row.completed if one.run), None) if row else None
    facts = run.facts if run else {}
    versions = facts.get("versions") or {}
    memory = facts.get("memory_bytes")
    machine = [
        ("host", facts.get("host")), ("cores", facts.get("cores")), ("memory", memory and humanize.size(memory)),
        ("platform", facts.get("platform")), ("Python", facts.get("python")),
        ("commit", (facts.get("code") or {}).get("commit")),
        *((name, versions.get(name)) for name in _FEW_VERSIONS),
    ]  # fmt: skip
    yield "Machine and versions", [(name, str(said)) for name, said in machine if said]


def _as_typed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _sweep_facts(board: Leaderboard) -> Iterator[tuple[str, str]]:
    sweep = board.sweep
    facts = sweep.facts
    words = list(map(str, (facts.get("command") or [])[1:] or facts.get("overrides") or []))
    yield "folder", str(sweep.path)
    if words:
        yield "command", shlex.join([COMMAND, *words])
    if board.baseline and board.baseline.attempts:
        yield "baseline", " ".join(board.baseline.attempts[0].overrides) or "the defaults"
    begun = datetime.fromisoformat(facts.get("begun") or sweep.started.isoformat())
    yield "started", f"{begun:%Y-%m-%d %H:%M:%S} UTC"
    if begun != sweep.started:
        yield "resumed", f"{sweep.started:%Y-%m-%d %H:%M:%S} UTC"
    if facts.get("ended"):
        ended = datetime.fromisoformat(facts["ended"])
        yield (
            "took",
            humanize.seconds((ended - sweep.started).total_seconds()) + " since then" * (begun != sweep.started),
        )
    yield "ranked by", " and then ".join(figures.MEASURES[one] for one in sweep.objective)
    if not sweep.isolated:
        shared = sweep.processes < sum(one.run is not None for one in sweep.attempts)
        yield "wall time", "as each run measured itself, without the start of Python"
        yield "memory", f"of the passes{', and of what earlier jobs left in the process' if shared else ''}"
