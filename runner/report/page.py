"""From a run folder to its report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from runner.base import humanize
from runner.base.atomic import write_text
from runner.report import environment, headline, overview, results, series, tasks, timeline
from runner.report.charts import bar, template
from runner.report.gather import read_folder
from runner.report.picture import VIRIDIS
from runner.report.records import Contents, Floats, InputRow, PassFacts

REPORT: Final = "report.html"
_TEMPLATE: Final = Path(__file__).with_name("template.html.j2")
_SLOWEST: Final = 10
_FEW_INPUTS = 60  # a table as long as that is shown at once
_MOST_DIFF = 65536  # characters
_UNTIMED: Final = "The trace does not record when its tasks started, so there is no timeline."
_UNTIMED_PIECES: Final = (
    "With engine=xarray dask cuts the tasks in many, which several pieces of results share; the trace records when a "
    "piece was ready, not when it started or how long its bytes took, so there is no timeline."
)


def write_report(folder: Path) -> Path:
    """Make `report.html` of what lies in the run folder, and nothing else; its path.

    One file that loads nothing. Whatever is missing or damaged is named in it. Raises OutputError if it cannot be
    written.
    """
    path = folder / REPORT
    write_text(path, template(_TEMPLATE).render(_context(read_folder(folder))))
    return path


def prepare() -> None:
    """Load the template of a page while a run waits for its scenes."""
    template(_TEMPLATE)


def _context(contents: Contents) -> dict[str, Any]:
    """Everything the template shows."""
    run, code = contents.run, contents.run.record.code
    return {
        "contents": contents,
        "run": run,
        "name": overview.title(contents),
        "subtitle": _subtitle(contents),
        "status_words": headline.status_words(run),
        "problem": headline.problem(run),
        "remedies": headline.remedies(contents),
        "findings": overview.figures(contents),
        "where": overview.where(contents),
        "figures": headline.figures(contents),
        "segments": headline.segments(run),
        "attempts": headline.attempts(contents),
        "viridis": ", ".join(f"#{colour}" for colour in VIRIDIS),
        **_raster_context(contents),
        "series": [(table.stage, table.file, series.series_figure(table)) for table in contents.tables if table.scenes],
        "passes": [_pass_row(pass_) for pass_ in run.passes],
        **_task_context(contents),
        **_input_context(contents),
        "outputs": contents.outputs,
        "config": _yaml(run.record.config),
        "origin": [("Written into the results", _provenance(contents)), *environment.described(run.record)],
        "command": headline.repeat_command(contents) + headline.repeat_note(contents),
        "code": code,
        "diff": (code.diff or "")[:_MOST_DIFF] if code else "",
    }


def _subtitle(contents: Contents) -> str:
    """The stages, the grid and the pixels, in a line."""
    stack = contents.run.record.stack
    stages = list(dict.fromkeys(name for pass_ in contents.run.passes for name in pass_.name.split("+")))
    if stack is None:
        return ""
    grid = f"{humanize.sides(stack.shape)} pixels {stack.dtype or ''}" if stack.shape else ""
    nodata = f"nodata {stack.nodata}" if stack.nodata is not None else "no nodata value"
    parts = [*([" and ".join(stages)] if stages else []), grid, stack.crs, nodata]
    return ", ".join(part for part in parts if part)


def _raster_context(contents: Contents) -> dict[str, Any]:
    """The large raster, the scenes with the fewest valid pixels beside it, and the others below.

    The one that counts stands beside the large one too, unless the others need it for a row of their own.
    """
    large, small = contents.rasters[:1], contents.rasters[1:]
    counts = results.coverage_raster(small)
    others = [raster for raster in small if raster is not counts]
    fewest = next((coverage for table in contents.tables if (coverage := series.coverage(table, contents.run))), None)
    if counts is not None and len(others) in (1, 5):
        others, counts = [counts, *others], None
    return {
        "large": results.raster_figure(large[0], large=True) if large else None,
        "others": [results.raster_figure(raster, large=False) for raster in others],
        "columns": results.columns(len(others)),
        "coverage": results.raster_figure(counts, large=False) if counts else None,
        "fewest": fewest,
    }


def _pass_row(pass_: PassFacts) -> dict[str, str]:
    """A pass, fact by fact: what was planned beside what came."""
    facts = {
        "end": _unended(pass_),
        "cluster": pass_.cluster,
        "size of a task: scenes, rows, columns": pass_.chunks,
        "tasks": humanize.count(pass_.tasks),
        "tasks reused": humanize.count(pass_.reused or None),
        "requests": _against(humanize.count, pass_.requests, pass_.planned_requests, pass_),
        "fetched": _against(humanize.size, pass_.bytes, pass_.planned_bytes, pass_),
        "retries": humanize.count(pass_.retries),
        "workers lost": humanize.count(pass_.workers_lost),
        "starting workers": humanize.seconds(pass_.start_seconds),
        "computing": humanize.seconds(pass_.compute_seconds),
        "of that waiting for compiled code": humanize.seconds(pass_.compile_seconds or None),
        "reading, all threads": humanize.seconds(pass_.read_seconds),
        "inflating": pass_.inflating,
        "tiles without a valid pixel": humanize.count(pass_.missing_tiles or None),
        "reducing, all threads": humanize.seconds(pass_.reduce_seconds),
        "processor time": humanize.seconds(pass_.cpu_seconds),
        "peak memory": _against(humanize.size, pass_.peak_bytes, pass_.planned_peak_bytes),
    }
    return {name: text for name, text in facts.items() if text not in ("", humanize.UNKNOWN)}


def _unended(pass_: PassFacts) -> str:
    if pass_.ended:
        return ""
    return "did not end" + ("; what it took is the sum of its attempts" if pass_.compute_seconds is not None else "")


def _against(
    shown: Callable[[float | None], str], actual: float | None, planned: float | None, pass_: PassFacts | None = None
) -> str:
    note = "; the rest reused" if pass_ and pass_.reused else ""
    return f"{shown(actual)} ({shown(planned)} planned{note})" if planned else shown(actual)


def _task_context(contents: Contents) -> dict[str, Any]:
    trace = contents.tasks
    if trace is None:
        return {"timeline": "", "slowest_tasks": [], "failed_tasks": [], "slowest_scenes": [], "untold": ""}
    seconds, line = tasks.scene_seconds(trace), timeline.timeline_figure(contents)
    alike = "Every task held all scenes, so the time of a single scene is unknown." if seconds is None else ""
    return {
        "timeline": line,
        "slowest_tasks": tasks.slowest_tasks(trace),
        "failed_tasks": tasks.failed_tasks(trace),
        "slowest_scenes": [] if seconds is None else _slowest_scenes(contents, seconds),
        "untold": alike if line else _UNTIMED_PIECES if contents.run.in_pieces else _UNTIMED,
    }


def _slowest_scenes(contents: Contents, seconds: Floats) -> list[tuple[str, str, Any, str, str]]:
    """(scenes, dates, bar, seconds each, bytes each) of those that took longest; neighbours that tasks held together
    share a row. The table of inputs has the stack's order.
    """
    stack = [row for row in contents.inputs or [] if row.used]
    runs = np.split(np.arange(seconds.size), np.flatnonzero(np.abs(np.diff(seconds)) > 1e-9 * seconds.max()) + 1)
    slowest = sorted(runs, key=lambda run: -float(seconds[run[0]]))[:_SLOWEST]
    return [
        _scene_row(stack, int(run[0]), int(run[-1]), float(seconds[run[0]]), float(seconds.max())) for run in slowest
    ]


def _scene_row(
    stack: list[InputRow], first: int, last: int, seconds: float, longest: float
) -> tuple[str, str, Any, str, str]:
    known = last < len(stack)
    name = (
        (stack[first].scene or stack[first].href)
        if known and first == last
        else f"scenes {humanize.span(first, last + 1)}"
    )
    date = ("" if first == last else "from ") + humanize.moment(stack[first].time, 10) if known else ""
    sizes = [row.size for row in stack[first : last + 1] if row.size is not None]
    size = humanize.size(sum(sizes) / len(sizes) if sizes else None)
    return name, date, bar(seconds / longest), humanize.seconds(seconds), size


def _input_context(contents: Contents) -> dict[str, Any]:
    """The objects: the skipped ones first, else in the table's order; a column for what differs among them only."""
    rows = contents.inputs or []
    prefix = humanize.common_start([row.href for row in rows])
    ordered = sorted(rows, key=lambda row: row.used)
    grids = {row.grid for row in rows if row.grid}
    skipped = sum(not row.used for row in rows)
    differing = [("grid", len(grids) > 1), ("skipped because", skipped > 0)]
    heads = ["key", "date", "size", "ETag", *(head for head, differs in differing if differs)]
    return {
        "prefix": prefix,
        "grid": next(iter(grids), "") if len(grids) == 1 else "",
        "input_heads": heads,
        "inputs": [_input_cells(row, prefix, heads) for row in ordered],
        "skipped": skipped,
        "inputs_open": len(rows) <= _FEW_INPUTS,
        "inputs_size": humanize.size(sum(row.size or 0 for row in rows if row.used)),
    }


def _input_cells(row: InputRow, prefix: str, heads: Sequence[str]) -> list[str]:
    cells = {
        "key": row.href.removeprefix(prefix),
        "date": humanize.day(row.time),
        "size": humanize.size(row.size),
        "ETag": row.etag if len(row.etag) <= 9 else f"{row.etag[:8]}…",
        "grid": row.grid,
        "skipped because": "" if row.used else row.reason or "no reason given",
    }
    return [cells[head] for head in heads]


def _yaml(tree: dict[str, Any]) -> str:
    import yaml  # noqa: PLC0415 - hydra has brought it

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C, if it is there: a tenth of the time
    return str(yaml.dump(tree, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110)) if tree else ""


def _provenance(contents: Contents) -> list[tuple[str, str]]:
    """The provenance in the first result file that has one."""
    from_tables = [table.provenance for table in contents.tables]
    origin = next((origin for origin in [*from_tables, *(raster.tags for raster in contents.rasters)] if origin), {})
    own = ("stage", "min_count", "weights", "statistic", "units", "AREA_OR_POINT")
    return [(name, text) for name, text in origin.items() if name not in own]
