"""The overview: the title, the period, scenes, valid pixels, the mean, the place."""

import re
from collections import Counter
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.report import place
from runner.report.headline import Figure, data, scene_counts
from runner.report.levels import DECIBELS, mean_level
from runner.report.records import Contents, Floats, SceneTable, Tasks, seconds_of
from runner.report.series import valid_fractions

_NO_NAMES: Final = ("local", "manifest", "source", "", humanize.UNKNOWN)  # of sources that their users did not name
_PATTERN: Final = re.compile(r"[*?\[{]")
_ALIKE: Final = 0.1  # intervals between scenes that differ by less, relatively, are one
_DAY: Final = 86400
_UNITLESS: Final = (None, "", "1")


def title(contents: Contents) -> str:
    """The title: the name of the source, or the folder of its files if the source has no name."""
    source = contents.run.record.config.get("source")
    source = source if isinstance(source, dict) else {}
    stack = contents.run.record.stack
    name = stack.name if stack else str(source.get("name") or "")
    if name not in _NO_NAMES:
        return name
    url = str(source.get("url") or "") if contents.run.record.config else ""
    return _of_url(url) or _of_url(humanize.common_start([row.href for row in contents.inputs or []])) or contents.name


def _of_url(url: str) -> str:
    """The last folder that has no pattern; of a bucket with the bucket, of a table of scenes its name."""
    scheme, _, rest = url.rpartition("://")
    parts = [part for part in rest.split("/") if part]
    fixed = next((number for number, part in enumerate(parts) if _PATTERN.search(part)), None)
    if fixed is None:
        return PurePath(parts[-1]).stem if parts and not url.endswith("/") else "/".join(parts[-1:])
    folders = parts[:fixed]
    bucket = folders[:1] if scheme and len(folders) > 1 else []
    return "/".join([*bucket, *folders[-1:]])


def figures(contents: Contents) -> list[Figure]:
    """Period, scenes, valid pixels and the mean; unknown ones are left out."""
    candidates = [period_figure(_times(contents)), _scenes(contents), _valid(contents), _level(contents)]
    return [figure for figure in candidates if figure is not None]


def where(contents: Contents) -> dict[str, Any] | None:
    """The place in words, its extent, and its map; None if the grid or its CRS is not known."""
    raster, stack = next(iter(contents.rasters), None), contents.run.record.stack
    if raster is not None and raster.wkt:
        return _where(raster.wkt, raster.crs, raster.transform, raster.shape)
    if raster is None and stack is not None and stack.crs and stack.transform and stack.shape:
        return _where(stack.crs, stack.crs, stack.transform, stack.shape)
    return None


def _where(crs: str, name: str, transform: place.Transform, shape: tuple[float, float]) -> dict[str, Any] | None:
    position = place.place_of(crs, transform, shape)
    if position is None:
        return None
    return {
        "shown": place.in_words(position),
        "note": f"{place.extent(transform, shape, place.axis_unit(crs))}, {name}",
        "locator": place.locator(position),
    }


# --- one by one -------------------------------------------------------------------------------------------------------


def period_figure(times: Floats, *, interval: bool = True) -> Figure | None:
    """The first and the last of these times, in order, and the interval between scenes if it is regular."""
    if not times.size:
        return None
    first, last = float(times[0]), float(times[-1])
    if first == last:
        return Figure("period", humanize.day(first), "one date")
    parts = 10 if last - first >= _DAY else 16
    shown = Markup('<span class="nowrap">{}</span> to <span class="nowrap">{}</span>').format(
        humanize.moment(first, parts), humanize.moment(last, parts)
    )
    return Figure("period", shown, f"{_long(last - first)}{_every(times) if interval else ''}")


def _times(contents: Contents) -> Floats:
    """Of the scenes, in order."""
    stack = contents.run.record.stack
    times = [row.time for row in contents.inputs or [] if row.used and row.time is not None]
    if not times and stack:
        times = [time for time in map(seconds_of, (stack.first_datetime, stack.last_datetime)) if time is not None]
    return np.sort(np.array(times, np.float64))


def _long(seconds: float) -> str:
    return humanize.plural(round(seconds / _DAY), "day") if seconds >= _DAY else humanize.seconds(seconds)


def _every(times: Floats) -> str:
    """The interval between scenes, if it is regular."""
    steps = np.diff(times)
    middle = float(np.median(steps))
    if steps.size < 2 or middle == 0 or float(np.ptp(steps)) > _ALIKE * middle:
        return ""
    return f", a scene every {_long(middle)}".replace("every 1 day", "every day")


def _scenes(contents: Contents) -> Figure | None:
    used, skipped = scene_counts(contents)
    if used is None:
        return None
    note = Markup("{} skipped").format(data(skipped, humanize.count(skipped))) if skipped else ""
    reasons = Counter(row.reason for row in contents.inputs or [] if not row.used)
    if len(reasons) == 1 and len(why := next(iter(reasons))) < 40:
        note = Markup("{}: {}").format(note, why)
    return Figure("scenes", data(used, humanize.count(used)), note)


def _valid(contents: Contents) -> Figure | None:
    """The share of valid pixels, of the scenes by their table, else of all that was read."""
    tables = (valid_fractions(table, contents.run) for table in contents.tables)
    each = next((valid for valid in tables if valid is not None and valid.size), None)
    if each is None:
        return _valid_of_tasks(contents.tasks)
    share = float(np.nan_to_num(each).mean())
    ends = humanize.percent(float(each.min())), humanize.percent(float(each.max()))
    note = "in every scene" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} of a scene"
    return Figure("valid pixels", data(share, humanize.percent(share)), note)


def _valid_of_tasks(tasks: Tasks | None) -> Figure | None:
    pixels = 0.0 if tasks is None else float(np.nansum(tasks.pixels))
    if tasks is None or not pixels:
        return None
    share = float(np.nansum(tasks.valid)) / pixels
    return Figure("valid pixels", data(share, humanize.percent(share)), "of those read")


def _level(contents: Contents) -> Figure | None:
    """The mean of the scenes' means, or of another statistic if there are none; else of a raster."""
    raster = next((raster for raster in contents.rasters if raster.statistic == "mean"), None)
    pixels = humanize.values(raster.least, raster.most) if raster and raster.least is not None else ""
    table = next((table for table in contents.tables if _statistic(table)), None)
    if table is None:
        mean = raster.mean if raster and raster.units != DECIBELS else None
        return None if mean is None else _level_figure(contents, "mean", mean, "", pixels)
    name = _statistic(table)
    values = table.columns[name][np.isfinite(table.columns[name])]
    if not values.size:
        return None
    scenes = humanize.values(float(values.min()), float(values.max()))
    mean = mean_level(values, table.units.get(name, ""))
    return _level_figure(contents, name, mean, scenes, pixels if name == "mean" else "")


def _level_figure(contents: Contents, name: str, mean: float, scenes: str, pixels: str) -> Figure:
    """The mean with its range over scenes and over pixels."""
    shown = humanize.value(mean)
    ranges = [f"{what} {of}" for what, of in (("scenes", scenes), ("pixels", pixels)) if of]
    note = "everywhere" if {scenes, pixels} - {""} == {shown} else "; ".join(ranges)
    return Figure(f"{name}, {_units(contents)}", data(mean, shown), note)


def _units(contents: Contents) -> str:
    stack = contents.run.record.stack
    levels = [table.units.get(_statistic(table), "") for table in contents.tables]
    levels += [raster.units for raster in contents.rasters if raster.statistic == "mean"]
    candidates = [*(units for units in levels if units == DECIBELS), *([stack.units] if stack else [])]
    candidates += [raster.units for raster in contents.rasters]
    unit = next((units for units in candidates if units not in _UNITLESS), None)
    return f"in {unit}" if unit else "without units"


def _statistic(table: SceneTable) -> str:
    return next((name for name in ("mean", "median") if name in table.columns), "")
