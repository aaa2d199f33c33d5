"""The page of an archive: all of its stacks, where they lie, what they gave, and those that failed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from runner.base import humanize
from runner.record.stacks import NO_ZONE, OUTSIDE, StackRow
from runner.report import headline, overview, place, results, stack_table, stack_workers
from runner.report.archive_folder import ArchiveContents, read_archive
from runner.report.charts import template
from runner.report.frame import frame
from runner.report.headline import Figure, data
from runner.report.levels import mean_level
from runner.report.stack_map import extent_of, footprints, stack_map, states
from runner.report.stack_series import means_figure

_TEMPLATE: Final = Path(__file__).with_name("archive.html.j2")
_MOST_NAMED, _MOST_LETTERS = 5, 30  # zones, and letters of the name of each


def prepare_archive_page() -> None:
    """Load the template of the page while the stacks run."""
    template(_TEMPLATE)


def archive_page(folder: Path) -> str:
    """The page of what lies in the archive's folder."""
    return template(_TEMPLATE).render(_context(read_archive(folder)))


def _context(contents: ArchiveContents) -> dict[str, Any]:
    """Everything the template shows."""
    rows, own = contents.rows, contents.own
    found = footprints(rows)
    failed, more_failed = stack_table.failed_rows(rows)
    findings = [_stacks(rows), _period(contents), _scenes(rows), _level(contents)]
    return {
        **frame(own),
        "name": overview.title(own),
        "subtitle": _subtitle(contents),
        "findings": [figure for figure in findings if figure is not None],
        "where": _where(rows, extent_of(found)),
        "map": stack_map(rows, found),
        "means": contents.means,
        "series": means_figure(contents.means, rows) if contents.means else "",
        "pictures": [
            (stack_table.stack_link(row), results.thumbnail(raster), results.colour_range(raster))
            for row, raster in contents.pictures
        ],
        "pictured": contents.pictures[0][1] if contents.pictures else None,
        "unpictured": sum(row.status == "COMPLETED" for row in rows) - len(contents.pictures),
        "zones": _zones(contents),
        "zone_pictures": [
            (stack_table.stack_link(row), results.thumbnail(raster), results.colour_range(raster))
            for row, raster in contents.zone_pictures
        ],
        "zones_pictured": contents.zone_pictures[0][1] if contents.zone_pictures else None,
        "failed": failed,
        "more_failed": more_failed,
        "figures": _figures(contents),
        "segments": headline.segments(own.run, "stacks: headers, computing, writing"),
        "hosts": stack_workers.host_rows(rows),
        "lanes": stack_workers.lanes_figure(rows),
        "slowest": stack_table.slowest_rows(rows),
        "table": stack_table.stack_table(contents),
    }


def _subtitle(contents: ArchiveContents) -> str:
    stages = list(contents.own.run.record.config.get("stages") or {})
    by = f" by {', '.join(contents.stack_by)}" if contents.stack_by else ""
    stacks = f"{humanize.plural(len(contents.rows), 'stack')}{by}" if contents.rows else f"an archive{by}"
    return "; ".join([stacks, *([" and ".join(stages)] if stages else [])])


# --- findings ---------------------------------------------------------------------------------------------------------


def _stacks(rows: Sequence[StackRow]) -> Figure | None:
    if not rows:
        return None
    counts = Counter(row.status for row in rows)
    done = counts["COMPLETED"]
    others = ", ".join(f"{number:,} {words}" for status, words, number in states(rows) if status != "COMPLETED")
    wanted = len(rows) - counts[OUTSIDE]
    shown = data(done, f"{done:,} of {wanted:,}")
    return Figure("stacks done", shown, others or "every stack is complete", done / max(wanted, 1))


def _period(contents: ArchiveContents) -> Figure | None:
    means = contents.means
    if means is None:
        return None
    return overview.period_figure(np.sort(means.time[np.isfinite(means.time)]), interval=False)


def _scenes(rows: Sequence[StackRow]) -> Figure | None:
    known = [row.scenes for row in rows if row.scenes is not None]
    skipped = sum(row.left_out or 0 for row in rows)
    if not known:
        return None
    ends = dict.fromkeys(humanize.count(number) for number in (min(known), max(known)))
    note = f"{' to '.join(ends)} a stack" + (f", {humanize.count(skipped)} skipped" if skipped else "")
    note += "" if len(known) == len(rows) else f"; in {_of(len(known), rows)}"
    return Figure("scenes", data(sum(known), humanize.count(sum(known))), note)


def _level(contents: ArchiveContents) -> Figure | None:
    """The mean of the stacks' means, with the range of these, and of how many stacks it is."""
    means = contents.means
    if means is None:
        return None
    levels = means.of_stacks(means.values, len(contents.rows), means.units)
    levels = levels[np.isfinite(levels)]
    if not levels.size:
        return None
    mean = mean_level(levels, means.units)
    units = f"in {means.units}" if means.units not in ("", "1") else "without units"
    return Figure(
        f"{means.statistic}, {units}",
        data(mean, humanize.value(mean)),
        f"{_of(levels.size, contents.rows)}: {humanize.values(float(levels.min()), float(levels.max()))}",
    )


def _zones(contents: ArchiveContents) -> list[Figure]:
    """How many zones there are, how many no complete stack has, and how many lie on several grids."""
    archive, config = contents.own.run.record.archive, contents.own.run.record.config
    zones = archive and archive.zones
    if not zones:
        return []
    file = str((config.get("zones") or {}).get("file") or "").rpartition("/")[2]
    done = sum(row.status == "COMPLETED" for row in contents.rows)
    unmet = sum(row.in_words == NO_ZONE for row in contents.rows)
    unmet_words = f"no zone meets {humanize.count(unmet)} of the others" if unmet else "zones meet each stack"
    names = [humanize.cut(name, _MOST_LETTERS) for name in zones.names_in_no_stack]
    named = humanize.listed(names, _MOST_NAMED, total=zones.in_no_stack)
    in_none = Figure(
        "in no stack", data(zones.in_no_stack, humanize.count(zones.in_no_stack)), named or "each has rows"
    )
    several = humanize.count(zones.on_several_grids)
    return [
        Figure("zones", data(zones.zones, humanize.count(zones.zones)), f"of {file}"),
        in_none if done + unmet == len(contents.rows) else in_none._replace(name="in no complete stack"),
        Figure("on several grids", data(zones.on_several_grids, several), "with rows of each stack"),
        Figure("complete stacks", data(done, f"{done:,} of {len(contents.rows):,}"), unmet_words),
    ]


def _of(known: int, rows: Sequence[StackRow]) -> str:
    """Say of how many stacks a figure is."""
    return "all stacks" if known == len(rows) else f"{known:,} of {humanize.plural(len(rows), 'stack')}"


def _where(rows: Sequence[StackRow], extent: place.Place | None) -> dict[str, Any] | None:
    """The middle of all stacks, their CRSs, and the map of the world."""
    if extent is None:
        return None
    crs = sorted({row.crs for row in rows if row.crs})
    placed = sum(row.west is not None for row in rows)
    return {
        "shown": place.in_words(extent),
        "note": f"the middle of {_of(placed, rows)}; {humanize.listed(crs, 3)}",
        "locator": place.locator(extent),
    }


# --- how it ran -------------------------------------------------------------------------------------------------------


def _figures(contents: ArchiveContents) -> list[Figure]:
    rows, run = contents.rows, contents.own.run
    counted = [row.bytes for row in rows if row.bytes is not None]
    fetched = sum(counted) if counted else None
    seconds = sorted(row.seconds for row in rows if row.seconds is not None)
    attempts = [run.lived_seconds, *(attempt.lived_seconds for attempt in run.record.attempts)]
    wall = sum(attempt for attempt in attempts if attempt is not None)
    rate = humanize.ratio(fetched, wall)
    each = float(np.median(seconds)) if seconds else None
    candidates = [
        headline.wall_figure(run),
        Figure("fetched", data(fetched, humanize.size(fetched)), f"by {_of(len(counted), rows)}"),
        Figure(
            "throughput",
            data(rate, humanize.rate(rate)),
            "start to end" if len(attempts) == 1 else "all attempts",
        ),
        Figure("a stack took", data(each, humanize.seconds(each)), _spread(seconds)),
    ]
    return [figure for figure in candidates if humanize.UNKNOWN not in figure.shown]


def _spread(seconds: Sequence[float]) -> str:
    """The range, since stacks overlap their times add up to more than the archive's."""
    return f"the median; {humanize.seconds(seconds[0])} to {humanize.seconds(seconds[-1])}" if seconds else ""
