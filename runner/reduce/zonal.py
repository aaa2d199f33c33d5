"""Sums over zones: a cell for each scene of a task and each zone in its window. Each accumulator is for one thread."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from runner.reduce import zonal_kernels as kernels
from runner.reduce.arrays import Bools, Floats, Integers, Tile
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import NO_LIMITS, Pixels, Place, empty_extremes, pieces, square_pieces
from runner.reduce.zone_lane_kernels import LaneSums, lanes_for
from runner.reduce.zone_runs import ZoneRuns
from runner.reduce.zone_strip_kernels import OverZones

_POWERS: Final = {
    "sums": kernels.PIXEL,
    "squares": kernels.SQUARE,
    "weights": kernels.COUNT,
    "weighted_sums": kernels.PIXEL,
    "weighted_squares": kernels.SQUARE,
}
_FUSED: Final = ("sums", "weighted_sums", "weights")  # in the order of `OverZones`
_IS_VALID: Final = Pixels(np.dtype(np.uint8), 0).kind.limits  # of flags
MOST_KEPT: Final = 2  # for each run of a window, of those that are cut at its tiles
_LIMBS: Final = 10  # of a product of float64 pixels and areas, with room for carries


class ZonalPartial(NamedTuple):
    """The sums of some scenes in the zones of a window.

    The cells are those of each scene and, next to one another, its zones, whose numbers are `zones`. `cells.seen` has
    for each scene the pixels read, in a zone or not.
    """

    zones: Integers
    cells: Partial

    @property
    def scenes(self) -> int:
        """The number of scenes."""
        return len(self.cells.seen)


class ZonalSums:
    """Sums over the pixels of each zone, scene by scene; `scenes` is their number.

    A pixel counts by the fraction of it that is in the zone, in `sums`, and times the area of its row in those by
    weights; `areas` are those of the window's rows, if pixels count by area.
    """

    def __init__(self, scenes: int, pixels: Pixels, needs: Needs, runs: ZoneRuns, areas: Floats | None = None) -> None:
        self.pixels = pixels
        self._zones, self._runs = runs.renumbered()
        self._shape = scenes, len(self._zones)
        self._seen = np.zeros(scenes, np.int64)
        self._counts = np.zeros(self._shape, np.int64)
        self._extremes = pixels.no_extremes(self._shape) if needs.extremes else None
        if areas is not None:
            self._runs = self._runs.by_area(areas)
        self._totals = {
            name: _Cells(self._shape, power, by_weight=name.startswith("weight"))
            for name, power in _POWERS.items()
            if getattr(needs, name)
        }
        self._at: dict[Place, tuple[Integers, ZoneRuns]] = {}  # parts of the runs that are kept for the next scenes
        self._kept = 0  # the number of their runs

    @staticmethod
    def bytes_per_cell(pixels: Pixels, needs: Needs, *, by_area: bool) -> int:
        """Memory that an accumulator takes for each scene and zone."""
        plain = needs.sums + needs.squares
        weighted = needs.weights + needs.weighted_sums + needs.weighted_squares
        limbs = 8 * _LIMBS * (weighted * by_area + plain * (pixels.stored.itemsize == 8))
        return 8 + 16 * (plain + weighted) + limbs + 2 * pixels.stored.itemsize * needs.extremes

    @staticmethod
    def lane_bytes(needs: Needs, zones: int, row_runs: int, tiles: int) -> int:
        """Memory that `strips` takes for so many zones at a place, runs in one of its rows, and tiles side by side."""
        lanes, totals = lanes_for(tiles), sum(bool(getattr(needs, name)) for name in _FUSED)
        return 8 * (zones * lanes * (1 + 2 * totals) + row_runs * (lanes + 1))

    def add_tile(self, scene: int, tile: Tile, place: Place) -> None:
        """Add pixels of the scene of this index; the tile, (rows, columns), is free for reuse afterwards.

        Raises ValueError for another type of pixels, or a place outside of the tile.
        """
        tile = self.pixels.native(tile)
        place.check(tile.shape, None)
        self.skip(scene, place)
        zones, runs = self._runs_at(place)
        if not zones.size:
            return
        runs = runs._replace(zone=zones.astype(np.int32)[runs.zone])
        if self.pixels.in_pieces:
            self._add_in_pieces(scene, tile[place.of_tile()], runs)
            return
        placed = kernels.Placed(tile, place, self.pixels.kind.limits)
        kernels.count_runs(placed, runs, self._counts[scene])
        for total in self._totals.values():
            total.add(scene, placed, runs, total.power)
        self._spread(scene, placed, tile, runs)

    def skip(self, scene: int, place: Place) -> None:
        """Count the pixels of a scene at a place as seen, none of which counts."""
        self._seen[scene] += place.height * place.width

    @staticmethod
    def fits(needs: Needs) -> bool:
        """True if a kernel of `fused` makes these sums, that of means and counts."""
        return not (needs.squares or needs.extremes or needs.weighted_squares)

    def strips(self, place: Place, scenes: Sequence[int]) -> OverZones | tuple[()]:
        """Accumulators in lanes, for a kernel that adds tiles of these scenes at a place; `settle` must follow."""
        for scene in scenes:
            self.skip(scene, place)
        zones, runs = self._runs_at(place)
        if not zones.size:
            return ()
        lanes, room = lanes_for(len(scenes)), len(scenes) * (runs.pixels + 4 * len(runs.zone))
        left = np.empty(int(np.diff(runs.rows).max()), np.int64)
        sums, weighted, weights = (
            self._totals[name].in_lanes(scenes, zones, room, left) if name in self._totals else _NO_LANES
            for name in _FUSED
        )
        counts = np.zeros((len(zones), lanes), np.int64)
        values = np.zeros((len(left), lanes))
        return OverZones(runs, place.row, counts, sums, weighted, weights, values)

    def settle(self, place: Place, scenes: Sequence[int], added: OverZones | tuple[()]) -> None:
        """Take over what a kernel added to the accumulators of `strips`."""
        if not added:
            return
        zones, _ = self._runs_at(place)
        self._counts[np.ix_(np.array(scenes, np.int64), zones)] += added.counts[:, : len(scenes)].T
        for name, lanes in zip(_FUSED, (added.sums, added.weighted, added.weights), strict=True):
            if name in self._totals:
                self._totals[name].take(lanes, scenes, zones)

    def partial(self) -> ZonalPartial:
        """The sums so far. They share memory with the accumulator: take them once, at the end."""
        totals: dict[str, Any] = {name: total.total() for name, total in self._totals.items()}
        extremes = None if self._extremes is None else self._extremes.reshape(2, -1)
        cells = Partial(self._seen, self._counts.ravel(), extremes=extremes, **totals)
        return ZonalPartial(self._zones, cells)

    def _runs_at(self, place: Place) -> tuple[Integers, ZoneRuns]:
        """The zones at a place of the window, to which tiles of all scenes come, some at a time, and their runs."""
        at = place._replace(top=0, left=0)
        if at not in self._at:
            if self._kept > MOST_KEPT * len(self._runs.zone):
                self._at, self._kept = {}, 0
            self._at[at] = self._runs.part(*place[2:]).renumbered()
            self._kept += len(self._at[at][1].zone)
        return self._at[at]

    def _add_in_pieces(self, scene: int, part: Tile, runs: ZoneRuns) -> None:
        valid = self.pixels.valid(part)
        place = Place(0, 0, 0, 0, *part.shape)
        flags = valid.view(np.uint8)
        kernels.count_runs(kernels.Placed(flags, place, _IS_VALID), runs, self._counts[scene])
        for total in self._totals.values():
            for piece in _pieces(part, valid, total.power):
                total.add(scene, kernels.Placed(piece, place, NO_LIMITS), runs, kernels.PIXEL)
        low, high = empty_extremes(part.dtype)
        lows, highs = np.where(valid, part, part.dtype.type(low)), np.where(valid, part, part.dtype.type(high))
        self._spread(scene, kernels.Placed(lows, place, NO_LIMITS), highs, runs)

    def _spread(self, scene: int, placed: kernels.Placed, highs: Tile, runs: ZoneRuns) -> None:
        if self._extremes is not None:
            kernels.spread_runs(placed, highs, runs, self._extremes[0, scene], self._extremes[1, scene])


def _pieces(part: Tile, valid: Bools, power: int) -> Iterator[Floats]:
    """Floats whose exact sum is the pixel to a power, 0 where not valid."""
    if power == kernels.COUNT:
        yield valid.astype(np.float64)
    elif power == kernels.PIXEL:
        yield from pieces(part, valid)
    else:
        yield from square_pieces(part, valid)


class _Cells:
    """An exact sum for each scene and zone: two layers, and limbs for what they would round."""

    def __init__(self, shape: tuple[int, int], power: int, *, by_weight: bool) -> None:
        self.power = power
        self._by_weight = by_weight
        self._layers: Floats = np.zeros((*shape, 2))
        self._wide: Wide | None = None
        self._spare = _spare(0)

    def add(self, scene: int, placed: kernels.Placed, runs: ZoneRuns, power: int) -> None:
        """Add pixels of a scene, to some power."""
        weights = runs.weight if self._by_weight else runs.fraction
        self._make_room(runs.pixels + 2 * len(weights))
        first = scene * self._layers.shape[1]
        cells = kernels.ZoneCells(self._layers[scene], first, self._spare)
        kernels.add_runs(placed, runs, weights, power, cells)
        self.empty_spare()

    def total(self) -> Total:
        """The sums, flat."""
        wide, self._wide = self._wide and self._wide.select(), None
        return Total(np.ascontiguousarray(self._layers.reshape(-1, 2).T), wide)

    def in_lanes(self, scenes: Sequence[int], zones: Integers, room: int, left: Integers) -> LaneSums:
        """The sums of some scenes and zones, with room for so many products that they do not hold, and scratch."""
        self._make_room(room)
        lanes = lanes_for(len(scenes))
        layers = np.zeros((len(zones), 2, lanes))
        layers[..., : len(scenes)] = self._layers[np.ix_(np.array(scenes, np.int64), zones)].transpose(1, 2, 0)
        return LaneSums(layers, left, self._spare)

    def take(self, added: LaneSums, scenes: Sequence[int], zones: Integers) -> None:
        """Take over the sums of some scenes and zones, and what is in the spare room."""
        self._layers[np.ix_(np.array(scenes, np.int64), zones)] = added.layers[..., : len(scenes)].transpose(2, 0, 1)
        cells = self._spare.cells[: int(self._spare.used[0])]
        zone, lane = np.divmod(cells, added.layers.shape[2])
        cells[:] = np.array(scenes, np.int64)[lane] * self._layers.shape[1] + zones[zone]
        self.empty_spare()

    def _make_room(self, room: int) -> None:
        if self._spare.cells.size < room:  # memory that is not written to costs none
            self._spare = _spare(room)

    def empty_spare(self) -> None:
        """Add what is in the spare room to the limbs."""
        used = int(self._spare.used[0])
        if not used:
            return
        if self._wide is None:
            self._wide = Wide.zeros(self._layers.size // 2)
        cells, values, factors, squared = (array[:used] for array in self._spare[:4])
        for square in (False, True):
            chosen = squared == square
            if chosen.any():
                self._wide.add_products(values[chosen], factors[chosen], cells[chosen], square=square)
        self._spare.used[0] = 0


def _spare(room: int) -> kernels.ZoneSpare:
    cells, values, factors = np.empty(room, np.int64), np.empty(room), np.empty(room)
    return kernels.ZoneSpare(cells, values, factors, np.empty(room, np.bool_), np.zeros(1, np.int64))


_NO_LANES: Final = LaneSums(np.empty((0, 2, 0)), np.empty(0, np.int64), _spare(0))
