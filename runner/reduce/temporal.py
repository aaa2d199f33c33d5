"""Sums over time: one cell for each pixel of a task's window. Each accumulator is for one thread."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from runner.reduce import kernels, trend_kernels
from runner.reduce.arrays import Counts, Floats, Integers, Tile
from runner.reduce.exact import Total, Wide
from runner.reduce.fused_kernels import UNKNOWN, OverTime, exponents_for
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Limits, PixelKind, Pixels, Place, pieces, square_pieces
from runner.reduce.row_kernels import Spare
from runner.reduce.scene_times import SceneTime
from runner.reduce.time_sums import TaskTimes, TimedCells

_NO_TIMES = TaskTimes(())


class TemporalSums:
    """Sums over the scenes of a task, pixel by pixel of its window (rows, columns).

    `times` has those of its scenes, where a statistic needs them.
    """

    def __init__(self, shape: tuple[int, int], pixels: Pixels, needs: Needs, times: TaskTimes = _NO_TIMES) -> None:
        self.shape = shape
        self.pixels = pixels
        self._seen: dict[tuple[int, ...], int] = {}  # number of scenes added to each part of the window
        self._counts: Counts = np.zeros(shape, np.int32)
        self._sums = _Layers(shape) if needs.sums else None
        self._squares = _Layers(shape) if needs.squares else None
        self._extremes = pixels.no_extremes(shape) if needs.extremes else None
        self._exponents = exponents_for(shape)
        self._timed = TimedCells(shape, pixels, needs, times) if needs.timed else None
        self._time_sums = _Layers(shape) if needs.time_sums else None

    @staticmethod
    def bytes_per_pixel(pixels: Pixels, needs: Needs) -> int:
        """Memory an accumulator takes for each pixel of its window; that is all unless a sum needs limbs."""
        layers = needs.sums + needs.squares + needs.time_sums
        plain = 4 + 16 * layers + 2 * pixels.stored.itemsize * needs.extremes
        return plain + TimedCells.bytes_per_pixel(pixels, needs)

    @staticmethod
    def limb_bytes_per_pixel(needs: Needs) -> int:
        """Memory that the limbs of these sums take for each pixel, where two floats hold none of them.

        For magnitudes within a factor of 2**64, as all 64-bit integers are; every further 2**32 takes a limb more, and
        two for squares. The limbs grow, and are handed over, by copying them, one sum after the other.
        """
        kinds = (8, needs.sums), (13, needs.squares), (10, needs.time_sums)
        each = [8 * limbs + 16 for limbs, needed in kinds if needed]
        return sum(each) + max(each, default=0)

    def add_tile(self, tile: Tile, place: Place, scene: int = 0) -> None:
        """Add pixels of the scene of this index; the tile, (rows, columns), is free for reuse afterwards.

        Which scene it is matters to statistics of time only.

        Raises ValueError for another type of pixels, or a place outside of the tile or the window.
        """
        tile = self.pixels.native(tile)
        place.check(tile.shape, self.shape)
        self.skip(place, 1)
        self._exponents[place.row : place.row + place.height] = UNKNOWN
        if self.pixels.in_pieces:
            self._add_in_pieces(tile[place.of_tile()], place)
        else:
            self._add(tile, place)
        if self._timed:
            self._timed.add_tile(tile, place, scene)
            if self._time_sums:
                self._add_products(self._time_sums, tile, place, self._timed.scenes.times[scene])

    def skip(self, place: Place, scenes: int) -> None:
        """Count the pixels of `scenes` scenes at a place as seen, none of which counts."""
        self._seen[place[2:]] = self._seen.get(place[2:], 0) + scenes

    def strips(self, place: Place, scenes: int) -> OverTime:
        """The accumulators, for a kernel that adds `scenes` scenes at a place; `empty_spare` must follow.

        There must be sums.
        """
        assert self._sums
        self.skip(place, scenes)
        layers, spare = self._sums.room(scenes * place.height * place.width)
        return OverTime(True, self._counts, layers, spare, self._exponents)

    def empty_spare(self) -> None:
        """Add the pixels that the kernel put into the spare room."""
        assert self._sums
        self._sums.empty_spare(square=False)

    def partial(self) -> Partial:
        """The sums so far. They share memory with the accumulator: take them once, at the end."""
        sums = self._sums.total() if self._sums else None
        squares = self._squares.total() if self._squares else None
        partial = Partial(_times_seen(self._seen, self.shape), self._counts, sums, squares, self._extremes)
        if self._timed is None:
            return partial
        timed, products = self._timed, self._time_sums.total() if self._time_sums else None
        return replace(partial, times=timed.times, time_sums=products, first=timed.first, last=timed.last)

    def _add(self, tile: Tile, place: Place) -> None:
        kind = self.pixels.kind
        if self._sums:
            self._sums.add(tile, place, kind, self._counts)
        else:
            kernels.add_counts(tile, place, kind.limits, self._counts)
        if self._squares:
            self._squares.add_squares(tile, place, kind.limits)
        if self._extremes is not None:
            kernels.add_extremes(tile, place, kind.limits, self._extremes)

    def _add_products(self, sums: "_Layers", tile: Tile, place: Place, time: SceneTime) -> None:
        kind = self.pixels.kind
        if not self.pixels.in_pieces:
            sums.add_products(tile, place, kind, time)
            return
        part = tile[place.of_tile()]
        for piece in pieces(part, self.pixels.valid(part)):
            inside = place._replace(top=0, left=0)
            sums.add_products(piece, inside, kernels.EVERY_PIXEL, time)

    def _add_in_pieces(self, part: Tile, place: Place) -> None:
        valid = self.pixels.valid(part)
        window = place.of_window()
        self._counts[window] += valid
        place = place._replace(top=0, left=0)
        if self._sums:
            self._sums.add_floats(pieces(part, valid), place)
        if self._squares:
            self._squares.add_floats(square_pieces(part, valid), place)
        if self._extremes is not None:
            lowest, highest = self._extremes[0][window], self._extremes[1][window]
            np.minimum(lowest, part, out=lowest, where=valid)
            np.maximum(highest, part, out=highest, where=valid)


def _times_seen(added: Mapping[tuple[int, ...], int], shape: tuple[int, int]) -> Integers:
    """The number of scenes added to each pixel of a window; (1, 1) if all are the same, as mostly.

    `added` has the number for each part (row, column, height, width). It changes at the edges of parts only, so it is
    counted between them.
    """
    rows = sorted({0, shape[0], *(edge for row, _, height, _ in added for edge in (row, row + height))})
    columns = sorted({0, shape[1], *(edge for _, column, _, width in added for edge in (column, column + width))})
    ends = [(int(band.min()), int(band.max())) for band in _bands(added, rows, columns) if band.size]
    if len({end for pair in ends for end in pair}) == 1:
        return np.full((1, 1), ends[0][0], np.int64)
    coarse = np.array([*_bands(added, rows, columns)], np.int64).reshape(len(rows) - 1, len(columns) - 1)
    return np.repeat(np.repeat(coarse, np.diff(rows), axis=0), np.diff(columns), axis=1)


def _bands(added: Mapping[tuple[int, ...], int], rows: list[int], columns: list[int]) -> Iterator[Integers]:
    """The number of scenes between two edges of rows, for each pair of edges of columns, band by band."""
    number = {edge: index for index, edge in enumerate(columns)}
    changes: dict[int, list[tuple[int, int]]] = {edge: [] for edge in rows}
    for (row, column, height, width), times in added.items():
        left, right = number[column], number[column + width]
        changes[row] += [(left, times), (right, -times)]
        changes[row + height] += [(left, -times), (right, times)]
    steps = np.zeros(len(columns), np.int64)  # at the edges of columns; summed up, the number
    for edge in rows[:-1]:
        for column, times in changes[edge]:
            steps[column] += times
        yield steps.cumsum()[:-1]


class _Layers:
    """An exact sum for each pixel of a window: two layers, and limbs for what does not fit."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._layers: Floats = np.zeros((2, *shape))
        self._wide: Wide | None = None
        self._spare = Spare(np.empty((2, shape[1])), np.empty(0, np.int64), np.empty(0), np.zeros(1, np.int64))

    def add(self, tile: Tile, place: Place, kind: PixelKind, counts: Counts) -> None:
        """Add valid pixels, and count them."""
        kernels.add_sums(tile, place, kind, kernels.Sums(counts, *self.room(tile.size)))
        self.empty_spare(square=False)

    def add_squares(self, tile: Tile, place: Place, limits: Limits) -> None:
        """Add the squares of valid pixels."""
        kernels.add_squares(tile, place, limits, *self.room(tile.size))
        self.empty_spare(square=True)

    def add_products(self, tile: Tile, place: Place, kind: PixelKind, time: SceneTime) -> None:
        """Add valid pixels times the time of their scene."""
        layers, spare = self.room(tile.size)
        trend_kernels.add_products(tile, place, kind, time, trend_kernels.Products(layers, spare))
        used = int(spare.used[0])
        if used:
            self._wide = self._wide or Wide.zeros(layers[0].size)
            self._wide.add_multiples(spare.values[:used], float(time.time), spare.cells[:used])
            spare.used[0] = 0

    def add_floats(self, tiles: Iterable[Floats], place: Place) -> None:
        """Add all of each tile, float64 without NaN."""
        uncounted = np.empty(self._layers.shape[1:], np.int32)
        for tile in tiles:
            self.add(tile, place, kernels.EVERY_PIXEL, uncounted)

    def total(self) -> Total:
        """The sums, flat. The limbs are copied without those that no pixel uses, and dropped here."""
        wide, self._wide = self._wide and self._wide.select(), None
        return Total(self._layers.reshape(2, -1), wide)

    def room(self, pixels: int) -> tuple[Floats, Spare]:
        """The layers, and room for `pixels` that do not fit them."""
        if self._spare.cells.size < pixels:  # memory that is not written to costs none
            self._spare = self._spare._replace(cells=np.empty(pixels, np.int64), values=np.empty(pixels))
        return self._layers, self._spare

    def empty_spare(self, *, square: bool) -> None:
        """Add what is in the spare room, or its squares, to the limbs."""
        used = int(self._spare.used[0])
        if used:
            self._wide = self._wide or Wide.zeros(self._layers[0].size)
            self._wide.add(self._spare.values[:used], self._spare.cells[:used], square=square)
            self._spare.used[0] = 0
