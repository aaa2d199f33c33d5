"""From a run folder to its report."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from runner.log.redact import redact
from runner.log.report import headline, results, tasks, text, timeline
from runner.log.report.charts import bar
from runner.log.report.gather import read_folder
from runner.log.report.picture import VIRIDIS
from runner.log.report.records import Contents, Floats, InputRow, PassFacts
from runner.output.aside import written_aside

REPORT: Final = "report.html"
_SLOWEST: Final = 10
_FEW_INPUTS = 60  # a table as long as that is shown at once
_MOST_DIFF = 65536  # characters
_UNTIMED: Final = "The trace does not tell when its tasks began, so there is no timeline."
_UNTIMED_PIECES: Final = (
    "With engine=xarray dask cuts the tasks in many, which several pieces of results share; the trace tells when each "
    "piece was ready, not when it was begun or how long its bytes took, so there is no timeline."
)


def write_report(folder: Path) -> Path:
    """Make `report.html` of what lies in the run folder, and nothing else; its path.

    One file that loads nothing. Whatever is missing or damaged is named in it. Raises OutputError if it cannot be
    written.
    """
    page = redact(_render(_context(read_folder(folder))))
    path = folder / REPORT
    with written_aside(path) as aside:
        aside.write_bytes(page.encode("utf-8", "backslashreplace"))  # JSON can hold halves of surrogate pairs
    return path


def _render(context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 50 ms, at the end of a run

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["text"] = text
    return environment.get_template("template.html.j2").render(context)


def _context(contents: Contents) -> dict[str, Any]:
    """Everything the template shows."""
    run, large = contents.run, contents.rasters[0] if contents.rasters else None
    coverage = results.coverage_raster(contents.rasters[1:])
    others = [raster for raster in contents.rasters[1:] if raster is not coverage]
    return {
        "contents": contents,
        "run": run,
        "name": run.stack.name if run.stack else contents.name,
        "subtitle": _subtitle(contents),
        "status_words": headline.status_words(run),
        "remedies": headline.remedies(contents),
        "figures": headline.figures(contents),
        "segments": headline.segments(run),
        "viridis": ", ".join(f"#{colour}" for colour in VIRIDIS),
        "large": results.raster_figure(large, large=True) if large else None,
        "others": [results.raster_figure(raster, large=False) for raster in others],
        "coverage": results.raster_figure(coverage, large=False) if coverage else None,
        "series": [
            (table.stage, table.file, results.series_figure(table)) for table in contents.tables if table.scenes
        ],
        "least_covered": _least_covered(contents),
        "passes": [_pass_row(one) for one in run.passes],
        **_task_context(contents),
        **_input_context(contents),
        "outputs": contents.outputs,
        "config": _yaml(run.config),
        "provenance": _provenance(contents),
        "command": headline.repeat_command(contents),
        "diff": (run.diff or "")[:_MOST_DIFF],
    }


def _subtitle(contents: Contents) -> str:
    stack = contents.run.stack
    used, _ = headline.scene_counts(contents)
    if stack is None:
        return "" if used is None else text.plural(used, "scene")
    dates = f"from {stack.first[:10]} to {stack.last[:10]}" if stack.first and stack.last and used != 1 else ""
    grid = f"{text.by(map(text.count, stack.shape))} pixels {stack.dtype or ''}" if stack.shape else ""
    nodata = f"nodata {stack.nodata}" if stack.nodata is not None else "no nodata value"
    return ", ".join(part for part in (f"{text.plural(used, 'scene')} {dates}", grid, stack.crs, nodata) if part)


def _least_covered(contents: Contents) -> list[tuple[str, str, Any, str]]:
    shape = contents.run.stack.shape if contents.run.stack else None
    pixels = shape[0] * shape[1] if shape else None
    return next((rows for table in contents.tables if (rows := results.least_covered(table, pixels))), [])


def _pass_row(one: PassFacts) -> dict[str, str]:
    """A pass, fact by fact: what was planned beside what came."""
    facts = {
        "it": _unended(one),
        "cluster": one.cluster,
        "a task: scenes, rows, columns": one.chunks,
        "tasks": text.count(one.tasks),
        "requests": _against(text.count(one.requests), one.planned_requests and text.count(one.planned_requests)),
        "fetched": _against(text.size(one.bytes), one.planned_bytes and text.size(one.planned_bytes)),
        "retries": text.count(one.retries),
        "workers lost": text.count(one.workers_lost),
        "starting workers": text.seconds(one.start_seconds),
        "computing": text.seconds(one.compute_seconds),
        "reading, all threads": text.seconds(one.read_seconds),
        "reducing, all threads": text.seconds(one.reduce_seconds),
        "processor time": text.seconds(one.cpu_seconds),
        "peak memory": _against(
            text.size(one.peak_bytes), one.planned_peak_bytes and text.size(one.planned_peak_bytes)
        ),
    }
    return {name: said for name, said in facts.items() if said not in ("", text.UNKNOWN)}


def _unended(one: PassFacts) -> str:
    if one.ended:
        return ""
    return "did not end" + ("; what it took is the sum of its attempts" if one.compute_seconds is not None else "")


def _against(came: str, planned: str | float | None) -> str:
    return f"{came} ({planned} planned)" if planned else came


def _task_context(contents: Contents) -> dict[str, Any]:
    found = contents.tasks
    if found is None:
        return {"timeline": "", "slowest_tasks": [], "failed_tasks": [], "slowest_scenes": [], "untold": ""}
    seconds, line = tasks.scene_seconds(found), timeline.timeline_figure(contents)
    alike = "Every task held all scenes, so what each scene took cannot be told." if seconds is None else ""
    return {
        "timeline": line,
        "slowest_tasks": tasks.slowest_tasks(found),
        "failed_tasks": tasks.failed_tasks(found),
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
    stack: list[InputRow], first: int, last: int, took: float, longest: float
) -> tuple[str, str, Any, str, str]:
    known = last < len(stack)
    name = (
        (stack[first].scene or stack[first].href) if known and first == last else f"scenes {text.span(first, last + 1)}"
    )
    date = ("" if first == last else "from ") + text.moment(stack[first].time, 10) if known else ""
    sizes = [row.size for row in stack[first : last + 1] if row.size is not None]
    size = text.size(sum(sizes) / len(sizes) if sizes else None)
    return name, date, bar(took / longest), text.seconds(took), size


def _input_context(contents: Contents) -> dict[str, Any]:
    rows = contents.inputs or []
    prefix = text.common_start([row.href for row in rows])
    ordered = sorted(rows, key=lambda row: row.used)  # what was left out comes first, else in the table's order
    return {
        "prefix": prefix,
        "inputs": [_input_cells(row, prefix) for row in ordered],
        "left_out": sum(not row.used for row in rows),
        "inputs_open": len(rows) <= _FEW_INPUTS,
        "inputs_size": text.size(sum(row.size or 0 for row in rows if row.used)),
    }


def _input_cells(row: InputRow, prefix: str) -> tuple[str, ...]:
    etag = row.etag if len(row.etag) <= 9 else f"{row.etag[:8]}…"
    why = "" if row.used else row.reason or "no reason given"
    return row.href.removeprefix(prefix), text.day(row.time), text.size(row.size), etag, row.grid, why


def _yaml(tree: dict[str, Any]) -> str:
    import yaml  # noqa: PLC0415 - hydra has brought it

    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)) if tree else ""


def _provenance(contents: Contents) -> list[tuple[str, str]]:
    """What every file of the run says of its origin, by the first that does."""
    from_tables = [table.provenance for table in contents.tables]
    found = next((origin for origin in [*from_tables, *(raster.tags for raster in contents.rasters)] if origin), {})
    own = ("stage", "min_count", "weights", "statistic", "units", "AREA_OR_POINT")
    return [(name, said) for name, said in found.items() if name not in own]
