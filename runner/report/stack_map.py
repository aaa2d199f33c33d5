"""The map of an archive: the extent of each stack in degrees, in the colour of how it ended."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from runner.base import humanize
from runner.record.stacks import OUTSIDE, StackRow
from runner.report.charts import WIDTH, legend, tag
from runner.report.place import Place, land
from runner.report.scales import Scale, Tick, number_ticks

ORDER: Final = ("FAILED", "KILLED", "INTERRUPTED", "RUNNING", "WAITING", OUTSIDE, "COMPLETED")  # the worst first
_MARGIN: Final = 0.06  # of the extent, around it
_LEAST_SPAN: Final = 0.02  # degrees
_FLATTEST, _TALLEST = 2.4, 0.7  # width divided by height
_LEAST_SIDE: Final = 5.0  # of WIDTH, so that a small extent on a large map is seen
_LAND_SPAN: Final = 6  # degrees of a map for which land to a degree is not too coarse
_MOST_NAMED: Final = 8  # stacks of a footprint
_TALL, _WIDE, _NARROW_WIDE = 460, 1080, 255  # pixels: the height of a map, and its width on pages of two widths
_LETTER, _LINE, _BESIDE = 8, 14, 6  # pixels of a label, and between it and a footprint that it stands beside
_FEW: Final = 60  # footprints that are all named; of more, those whose name fits in, and those that did not end well
_MOST_LABELS: Final = 400  # that are tried


class Footprint(NamedTuple):
    """An extent in degrees, and the stacks that have it."""

    west: float
    south: float
    east: float
    north: float
    rows: tuple[StackRow, ...]

    @property
    def status(self) -> str:
        """The worst of its stacks."""
        return min((row.status for row in self.rows), key=rank)

    @property
    def title(self) -> str:
        """Its stacks and how they ended."""
        counts = Counter(row.status for row in self.rows)
        ended = ", ".join(f"{counts[status]} {status}" for status in sorted(counts, key=rank))
        return f"{humanize.listed([row.stack for row in self.rows], _MOST_NAMED)}: {ended}"


def rank(status: str) -> int:
    """The place in the order of statuses; an unknown one is neither failed nor complete, as those outside are."""
    return ORDER.index(status if status in ORDER else OUTSIDE)


def unfinished(status: str) -> bool:
    """Tell of a stack that should have become complete and is not."""
    return rank(status) < rank(OUTSIDE)


def states(rows: Iterable[StackRow]) -> list[tuple[str, str, int]]:
    """(status, the same for people, stacks), the worst first."""
    counts = Counter((row.status, row.in_words) for row in rows)
    return [(*state, counts[state]) for state in sorted(counts, key=lambda state: (rank(state[0]), state[1]))]


def footprints(rows: Iterable[StackRow]) -> list[Footprint]:
    """The extents of stacks, the completed ones first, since later ones are drawn above; all east of one meridian."""
    together: dict[tuple[float, float, float, float], list[StackRow]] = {}
    for row in rows:
        if row.west is not None and row.south is not None and row.east is not None and row.north is not None:
            box = (round(row.west, 5), round(row.south, 5), round(row.east, 5), round(row.north, 5))
            together.setdefault(box, []).append(row)
    found = [Footprint(*box, tuple(stacks)) for box, stacks in together.items()]
    first = _westernmost(found)
    moved = [_moved(footprint, first) for footprint in found]
    return sorted(moved, key=lambda footprint: -rank(footprint.status))


def _westernmost(found: Sequence[Footprint]) -> float:
    """The western edge after the widest gap between extents, as the map goes round the Earth; within -180 and 180."""
    spans = sorted((footprint.west % 360, footprint.east - footprint.west) for footprint in found)
    if not spans:
        return -180.0
    reached, gap, first = spans[0][0] + spans[0][1], 0.0, spans[0][0]
    for west, wide in spans[1:]:
        if west - reached > gap:
            gap, first = west - reached, west
        reached = max(reached, west + wide)
    if spans[0][0] + 360 - reached >= gap:
        first = spans[0][0]
    return (first + 180) % 360 - 180


def _moved(footprint: Footprint, first: float) -> Footprint:
    west = (footprint.west - first + 1e-9) % 360 - 1e-9 + first
    return footprint._replace(west=west, east=west + footprint.east - footprint.west)


def extent_of(found: Sequence[Footprint]) -> Place | None:
    """The extent of all; None without any."""
    if not found:
        return None
    west, east = min(one.west for one in found), max(one.east for one in found)
    south, north = min(one.south for one in found), max(one.north for one in found)
    centre = ((west + east) / 2 + 180) % 360 - 180
    return Place(centre, (south + north) / 2, west, south, east, north)


# --- drawing ----------------------------------------------------------------------------------------------------------


class _Map(NamedTuple):
    """The part of the Earth that is drawn, WIDTH units wide."""

    x: Scale
    y: Scale
    height: float

    @property
    def ratio(self) -> float:
        """Width divided by height."""
        return WIDTH / self.height


def stack_map(rows: Sequence[StackRow], found: Sequence[Footprint]) -> Markup:
    """The footprints on a graticule, with their names where there is room; nothing if no extent is known."""
    place = extent_of(found)
    if place is None:
        return Markup()
    rows = [row for row in rows if row.status != OUTSIDE or row.west is not None]
    drawn = _window(place)
    lines = number_ticks(drawn.x, 5), number_ticks(drawn.y, 5)
    marks = [*_land(drawn), *_graticule(drawn, *lines), *(_mark(drawn, footprint) for footprint in found)]
    box = {"viewBox": f"0 0 {WIDTH} {drawn.height:.1f}", "preserveAspectRatio": "none"}
    frame = tag("div", [tag("svg", marks, **box), tag("div", _labels(drawn, found), class_="labels")], class_="world")
    left = [tag("span", _degrees(drawn.y, tick, "NS"), style=f"top:{100 * (1 - tick.at):.2f}%") for tick in lines[1]]
    below = [tag("span", _degrees(drawn.x, tick, "EW"), style=f"left:{100 * tick.at:.2f}%") for tick in lines[0]]
    parts = [tag("div", left, class_="ys"), frame, tag("div", below, class_="xs")]
    drawing = tag("div", parts, class_="map stacks", style=f"--ratio:{drawn.ratio:.4f}")
    return tag("figure", [tag("div", _legend(rows), class_="name"), drawing, tag("figcaption", _caption(rows, found))])


def _window(place: Place) -> _Map:
    """The extent with a margin, widened where it would be too flat or too tall."""
    wide = max(place.east - place.west, _LEAST_SPAN) * (1 + 2 * _MARGIN)
    high = max(place.north - place.south, _LEAST_SPAN) * (1 + 2 * _MARGIN)
    shrink = max(math.cos(math.radians(place.latitude)), 0.05)  # of a degree of longitude
    ratio = min(max(wide * shrink / high, _TALLEST), _FLATTEST)
    wide, high = max(wide, high * ratio / shrink), max(high, wide * shrink / ratio)
    longitude = (place.west + place.east) / 2
    x = Scale(longitude - wide / 2, longitude + wide / 2)
    return _Map(x, Scale(place.latitude - high / 2, place.latitude + high / 2), WIDTH / ratio)


def _land(drawn: _Map) -> list[Markup]:
    wide, high = drawn.x.high - drawn.x.low, drawn.y.high - drawn.y.low
    if wide < _LAND_SPAN:
        return []
    across, down = WIDTH / wide, drawn.height / high
    shifts = range(math.floor((drawn.x.low + 180) / 360), math.floor((drawn.x.high + 180) / 360) + 1)
    moves = (
        f"matrix({across:.4f} 0 0 {down:.4f} {(360 * shift - 180 - drawn.x.low) * across:.2f} "
        f"{(drawn.y.high - 90) * down:.2f})"
        for shift in shifts
    )
    return [tag("path", class_="land", d=land(), transform=move) for move in moves]


def _graticule(drawn: _Map, xs: Sequence[Tick], ys: Sequence[Tick]) -> list[Markup]:
    across = [tag("path", class_="grid", d=f"M{tick.at * WIDTH:.1f},0V{drawn.height:.1f}") for tick in xs]
    down = [tag("path", class_="grid", d=f"M0,{(1 - tick.at) * drawn.height:.1f}H{WIDTH}") for tick in ys]
    return [*across, *down]


def _mark(drawn: _Map, footprint: Footprint) -> Markup:
    left, right = (drawn.x.at(edge) * WIDTH for edge in (footprint.west, footprint.east))
    top, bottom = ((1 - drawn.y.at(edge)) * drawn.height for edge in (footprint.north, footprint.south))
    wide, high = max(right - left, _LEAST_SIDE), max(bottom - top, _LEAST_SIDE)
    path = f"M{(left + right - wide) / 2:.1f},{(top + bottom - high) / 2:.1f}h{wide:.1f}v{high:.1f}h-{wide:.1f}z"
    return tag("path", tag("title", footprint.title), class_=_css(footprint.status), d=path)


def _css(status: str) -> str:
    """The classes of a mark; those of an unknown status are the neutral ones."""
    return f"footprint {status.lower()}" if status in ORDER else "footprint"


def _degrees(scale: Scale, tick: Tick, sides: str) -> str:
    """122.5 degrees W, with as many digits as the ticks have."""
    digits = len(tick.text.partition(".")[2])
    value = scale.low + tick.at * (scale.high - scale.low)
    value = (value + 180) % 360 - 180 if sides == "EW" else value
    side = "" if round(value, digits) == 0 else f"\N{NO-BREAK SPACE}{sides[value < 0]}"
    return f"{abs(value):.{digits}f}\N{DEGREE SIGN}{side}"


# --- names ------------------------------------------------------------------------------------------------------------


class _Label(NamedTuple):
    """A name in its footprint, or beside one that is smaller; edges are parts of the map's width, y of its height."""

    name: str
    west: float
    east: float
    y: float
    side: int  # 0 within the footprint, 1 to the east of it, -1 to the west

    @property
    def anchor(self) -> float:
        """The middle of the footprint, or the edge that the text stands beside."""
        return ((self.west + self.east) / 2, self.east, self.west)[self.side]

    def middle(self, across: float) -> float:
        """The middle of the text, on a map of so many pixels."""
        return self.anchor + self.side * (_BESIDE / across + self.half(across))

    def half(self, across: float) -> float:
        """Half of the text's width."""
        return _LETTER * len(self.name) / 2 / across

    def fits(self, across: float, high: float, others: Sequence["_Label"]) -> bool:
        """Tell if it lies within a map of so many pixels, and on no other."""
        x, half = self.middle(across), self.half(across)
        if x < half or x > 1 - half:
            return False
        return not any(
            abs(x - other.middle(across)) < half + other.half(across) and abs(self.y - other.y) < _LINE / high
            for other in others
        )


def _labels(drawn: _Map, found: Sequence[Footprint]) -> list[Markup]:
    """The names that lie on no other, the worst footprints' first; fewer of them on a narrow page."""
    groups = _naming_groups(found)
    wide = min(_TALL * drawn.ratio, _WIDE)
    placed: list[_Label] = []
    narrow: list[_Label] = []
    labels = []
    for footprint in found[: -_MOST_LABELS - 1 : -1]:
        label = _label(drawn, footprint, _name(footprint, groups), wide)
        named = len(found) <= _FEW or unfinished(footprint.status) or not label.side
        if not (named and label.fits(wide, wide / drawn.ratio, placed)):
            continue
        placed.append(label)
        stays = label.fits(_NARROW_WIDE, _NARROW_WIDE / drawn.ratio, narrow)
        narrow += [label] if stays else []
        labels.append(_drawn_label(label, stays=stays))
    return labels


def _label(drawn: _Map, footprint: Footprint, name: str, wide: float) -> _Label:
    west, east = drawn.x.at(footprint.west), drawn.x.at(footprint.east)
    y = 1 - drawn.y.at((footprint.south + footprint.north) / 2)
    label = _Label(name, west, east, y, side=int((east - west) * wide < _LETTER * len(name)))
    beyond = label.middle(wide) + label.half(wide) > 1
    return label._replace(side=-1) if label.side and beyond else label


def _drawn_label(label: _Label, *, stays: bool) -> Markup:
    classes = [("", "beside", "before")[label.side], "" if stays else "odd"]
    style = f"left:{100 * label.anchor:.2f}%;top:{100 * label.y:.2f}%"
    return tag("span", label.name, class_=" ".join(filter(None, classes)) or None, style=style)


def _naming_groups(found: Sequence[Footprint]) -> list[str]:
    """The groups that have one value in each footprint, such as its tile."""
    names = list(found[0].rows[0].values)
    return [name for name in names if all(len({row.values[name] for row in one.rows}) == 1 for one in found)]


def _name(footprint: Footprint, groups: Sequence[str]) -> str:
    if len(footprint.rows) == 1:
        return footprint.rows[0].stack
    values = (footprint.rows[0].values[group] for group in groups)
    return "_".join(value or "none" for value in values) or humanize.plural(len(footprint.rows), "stack")


def _legend(rows: Sequence[StackRow]) -> Markup:
    return legend((_css(status), f"{words} {number:,}") for status, words, number in reversed(states(rows)))


def _caption(rows: Sequence[StackRow], found: Sequence[Footprint]) -> str:
    shown = {row.stack for footprint in found for row in footprint.rows}
    absent = [row.stack for row in rows if row.stack not in shown]
    parts = ["The box around each grid, in degrees (EPSG:4326)."]
    if len(found) < len(shown):
        parts.append("Stacks with the same box share it, in the colour of the one that ended worst.")
    if absent:
        names = humanize.listed(absent, _MOST_NAMED)
        parts.append(f"Of {humanize.plural(len(absent), 'stack')} the place is not known: {names}.")
    return " ".join(parts)
