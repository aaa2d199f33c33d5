"""The figure of a table of zones: a statistic of the first zones over time, before the spread of all of them."""

import warnings
from typing import Final

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.report.charts import Plot, legend, panel, tag, x_axis
from runner.report.picture import picture_of
from runner.report.records import Raster, ZoneTable
from runner.report.results import raster_figure
from runner.report.scales import number_ticks, scale_of, time_scale, time_ticks
from runner.report.series import unit

_MOST_LINES: Final = 4
_MOST_LETTERS: Final = 30  # of a zone's name in the legend
_SPREAD: Final = (10, 90)  # percentiles


def zone_figure(table: ZoneTable) -> Markup:
    """Lines of the first zones that have values, and a band from the 10th to the 90th percentile of all."""
    x = time_scale(table.time)
    shown = np.flatnonzero(np.isfinite(table.values).any(axis=0))[:_MOST_LINES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a scene without a value in any zone
        low, high = np.nanpercentile(table.values, _SPREAD, axis=1) if table.values.size else (table.time, table.time)
    y = scale_of(np.concatenate([table.values[:, shown].ravel(), low, high]), margin=0.06)
    plot, ticks = Plot(x, y, 200), time_ticks(x, 7)
    several = len(table.zones) > len(shown)
    marks = [plot.band(table.time, low, high, "faint tint0")] if several else []
    marks += [plot.line(table.time, table.values[:, zone], f"series{number}") for number, zone in enumerate(shown)]
    keys = [(f"series{number}", humanize.cut(table.zones[zone], _MOST_LETTERS)) for number, zone in enumerate(shown)]
    if several:
        keys.append(("faint shade0", f"10th to 90th percentile of {humanize.count(len(table.zones))} zones"))
    title = [Markup("<b>{}</b> {}").format(table.level, unit(table.units)), " by zone", legend(keys)]
    drawn = panel(tag("span", title), plot.height, marks, number_ticks(y, 6), ticks)
    return tag("figure", [drawn, x_axis(ticks, "date of the scene, UTC")], class_="chart")


def zone_map(table: ZoneTable) -> Markup | None:
    """A map of the zones in the colours of their means over all scenes; None without a map or a value."""
    raster = zone_raster(table)
    return raster_figure(raster, large=False) if raster else None


def zone_raster(table: ZoneTable) -> Raster | None:
    """A picture of the zones with their means over all scenes; None without a map or a value."""
    if table.map is None or not np.isfinite(table.values).any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a zone without a value in any scene
        means = np.append(np.nanmean(table.values, axis=0), np.nan)  # the last is of no zone
    pixels = means[table.map.zones]
    mask = np.isfinite(pixels)
    stretch, png = picture_of(pixels, mask)
    return Raster(
        file=table.file,
        stage=table.stage,
        statistic=f"{table.level} of all scenes by zone",
        units=table.units,
        shape=table.map.shape,
        dtype="float64",
        crs=table.map.crs,
        wkt="",
        axis_unit="",
        transform=table.map.transform,
        tags={},
        least=float(np.nanmin(means)),
        most=float(np.nanmax(means)),
        mean=None,
        valid=float(mask.mean()),
        stretch=stretch,
        beyond=(bool((means < stretch[0]).any()), bool((means > stretch[1]).any())),
        png=png,
        picture_shape=pixels.shape,
    )
