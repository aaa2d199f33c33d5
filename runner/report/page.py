"""From a run folder to its report."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from runner.base import humanize
from runner.base.atomic import write_text
from runner.errors import RecordError
from runner.record.run_files import OutputFile, StoredValues
from runner.record.run_folder import read_run
from runner.record.run_record import NONE_WRITTEN, Overviews
from runner.record.stacks import STACKS
from runner.report import headline, overview, results, series, tasks, timeline
from runner.report.archive_page import archive_page, prepare_archive_page
from runner.report.charts import bar, template
from runner.report.frame import REPORT, frame
from runner.report.gather import read_folder
from runner.report.records import Contents, Floats, InputRow, Multiples, PassFacts
from runner.report.zones import zone_figure, zone_map

_TEMPLATE: Final = Path(__file__).with_name("run.html.j2")
_SLOWEST: Final = 10
_UNTIMED: Final = "The trace does not record when its tasks started, so there is no timeline."
_UNTIMED_PIECES: Final = (
    "With engine=xarray dask cuts the tasks in many, which several pieces of results share; the trace records when a "
    "piece was ready, not when it started or how long its bytes took, so there is no timeline."
)


def write_report(folder: Path, overviews: Overviews = NONE_WRITTEN) -> Path:
    """Make `report.html` of what lies in the folder of a run or of an archive, and nothing else; its path.

    `overviews` of rasters that this process has just written there are not read again. One file that loads nothing.
    Whatever is missing or damaged is named in it. Raises OutputError if it cannot be written.
    """
    path = folder / REPORT
    write_text(path, archive_page(folder) if _is_archive(folder) else _run_page(folder, overviews))
    return path


def _run_page(folder: Path, overviews: Overviews) -> str:
    return template(_TEMPLATE).render(_context(read_folder(folder, overviews)))


def _is_archive(folder: Path) -> bool:
    try:
        return read_run(folder).record.is_archive
    except RecordError:
        return (folder / STACKS).is_file()


def prepare(*, archive: bool = False) -> None:
    """Load the template of a page while a run waits for its scenes; of an archive's page too."""
    template(_TEMPLATE)
    if archive:
        prepare_archive_page()


def _context(contents: Contents) -> dict[str, Any]:
    """Everything the template shows."""
    run, shared = contents.run, frame(contents)
    return {
        **shared,
        "name": contents.name if shared["archive"] else overview.title(contents),  # a stack is known by its folder
        "subtitle": _subtitle(contents),
        "findings": overview.figures(contents),
        "where": overview.where(contents),
        "figures": headline.figures(contents),
        "segments": headline.segments(run),
        **_raster_context(contents),
        "multiples": [_multiples_row(multiples) for multiples in contents.multiples],
        "files": list(_files(contents.outputs or ())),
        "series": [
            *((table.stage, table.file, series.series_figure(table)) for table in contents.tables if table.scenes),
            *((table.stage, table.file, zone_figure(table)) for table in contents.zones),
        ],
        "passes": [_pass_row(pass_) for pass_ in run.passes],
        **_task_context(contents),
        "outputs": contents.outputs,
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
    maps = [figure for table in contents.zones if (figure := zone_map(table))]
    return {
        "large": results.raster_figure(large[0], large=True) if large else None,
        "others": [*(results.raster_figure(raster, large=False) for raster in others), *maps],
        "columns": max(results.columns(len(others) + len(maps)), 2 * bool(maps)),
        "coverage": results.raster_figure(counts, large=False) if counts else None,
        "fewest": fewest,
    }


def _multiples_row(multiples: Multiples) -> dict[str, Any]:
    """The pictures of groups, and what all of them are."""
    by = multiples.shown[0].tags.get("group_by", "") if multiples.shown else ""
    return {
        "title": f"{multiples.stage}: {multiples.statistic} by {by.replace(',', ' and ') or 'group'}",
        "figure": results.multiples_figure(multiples) if multiples.shown else "",
        "rows": multiples.members,
    }


class _FileRow(NamedTuple):
    """A file, or the first of the rasters of groups; `note` says of how many, and `values` has the first of each."""

    file: OutputFile
    note: str
    values: list[StoredValues]


def _files(outputs: Sequence[OutputFile]) -> Iterator[_FileRow]:
    """The files, and of the rasters of groups the first of each statistic."""
    for _, files in groupby(outputs, lambda file: file.of_groups or file.name):
        own = tuple(files)
        names = [value.name for file in own for value in file.values]
        groups = names.count(names[0]) if names else 1
        note = "" if groups == 1 else f"the first of {groups} groups" if len(own) > 1 else f"{groups} groups"
        firsts = {value.name: value for value in reversed(own[0].values)}
        yield _FileRow(own[0], note, [*reversed(firsts.values())])


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
