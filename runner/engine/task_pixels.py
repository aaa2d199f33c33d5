"""The pixels of tasks, each file by the reader that takes it; the masks of a few scenes come before these scenes."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from runner.engine.hidden import Cover, Hidden, HiddenRoom
from runner.engine.shared import Shared
from runner.planning.records import Task
from runner.read import fast_reader, gdal_reader
from runner.read.fast_reader import InflatedTile, Turn
from runner.read.fetch import FetchCounts
from runner.read.header import SceneFile, ScenePart, ScenePixels
from runner.read.inflation import InflateCounts
from runner.reduce.arrays import Bools
from runner.reduce.pixel_types import Place
from runner.source.gdal_stores import gdal_path


class TaskPart(NamedTuple):
    """Some pixels of a task, whose scenes are counted among its own; None after the last of them.

    `pixels` are those of band number `band` of the task, counted from 0.
    """

    task: Task
    counts: FetchCounts  # of the task
    inflated: InflateCounts  # of the task
    pixels: Turn | ScenePixels | None
    hidden: Hidden | None = None  # pixels that files other than their own hide; valid until the next part
    band: int = 0


class _Portion(NamedTuple):
    """Files of a task that are read together: scenes, or the masks by which they are hidden."""

    task: Task
    counts: FetchCounts
    inflated: InflateCounts
    parts: Sequence[ScenePart]
    by_gdal: bool
    hidden: Hidden | None = None
    are_masks: bool = False
    ends: bool = False  # the task

    def part(self, pixels: Turn | ScenePixels | None, band: int = 0) -> TaskPart:
        """Pixels of a band of these scenes."""
        return TaskPart(self.task, self.counts, self.inflated, pixels, self.hidden, band)

    def excerpt(self) -> fast_reader.Excerpt:
        """The same, for the fast reader."""
        parts, counts, inflated, hidden = self.parts, self.counts, self.inflated, self.hidden
        if hidden is None:
            return fast_reader.Excerpt(parts, counts, inflated)
        if self.are_masks:
            outside = hidden.mask_is_outside if hidden.has_outside else None
            return fast_reader.Excerpt(parts, counts, inflated, wanted=True, outside=outside)
        outside = hidden.is_outside if hidden.has_outside else None
        return fast_reader.Excerpt(parts, counts, inflated, hides=self._hides, outside=outside)

    def _hides(self, tile: InflatedTile) -> bool:
        assert self.hidden is not None  # by `excerpt`
        return self.hidden.hides(tile.scene, place_of(tile))


def place_of(tile: InflatedTile) -> Place:
    """The pixels of a tile that are read, and their place in the window."""
    height, width = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
    return Place(tile.rows.start, tile.columns.start, tile.row, tile.column, height, width)


def read_tasks(bands: Sequence[Shared], tasks: Iterable[Task]) -> Generator[TaskPart, None, None]:
    """Yield the pixels of tasks in their order. Ranges of the next tasks are fetched meanwhile. Raises ReadError.

    There is a pass for each of the `bands`; several are of the same files, in whose tiles all bands lie and which
    one reader takes for all of them.
    """
    room = HiddenRoom()
    portions = (portion for task in tasks for portion in _portions(bands, task, room))
    for by_gdal, run in groupby(portions, lambda portion: portion.by_gdal):
        with closing((_read_through_gdal if by_gdal else _read_fast)(bands, run)) as parts:
            yield from parts


def _read_fast(bands: Sequence[Shared], portions: Iterator[_Portion]) -> Generator[TaskPart, None, None]:
    shared = bands[0]
    taken: deque[_Portion] = deque()  # the one being read, then those whose ranges are fetched ahead

    def excerpts() -> Iterator[fast_reader.Excerpt]:
        for portion in portions:
            taken.append(portion)
            yield portion.excerpt()

    decoding = fast_reader.Decoding(shared.inflation, [band.is_missing for band in bands])
    with closing(fast_reader.read_turns(excerpts(), decoding, shared.reading.fetch, shared.stop)) as turns:
        for _, by_band in turns:
            portion = taken[0]
            if by_band is None:
                taken.popleft()
                if portion.ends:
                    yield portion.part(None)
            elif portion.are_masks:
                _take_masks(shared, portion, (tile.pixels() for tile in by_band[0] if not tile.missing))
            else:
                yield from (portion.part(turn, number) for number, turn in enumerate(by_band))


def _read_through_gdal(bands: Sequence[Shared], portions: Iterator[_Portion]) -> Generator[TaskPart, None, None]:
    shared, stores = bands[0], bands[0].reading.stores

    def path_of(file: SceneFile) -> str:
        return gdal_path(stores.locate(file.href))

    for portion in portions:
        if portion.are_masks:
            fast_reader.check_deflated(portion.parts, shared.reading.fetch)
        with closing(gdal_reader.read_parts(portion.parts, path_of)) as read:
            for number, pixels in read:
                shared.stop.check()
                if portion.are_masks:
                    _take_masks(shared, portion, [pixels])
                else:
                    yield portion.part(pixels, number)
        if portion.ends:
            yield portion.part(None)


def _take_masks(shared: Shared, portion: _Portion, masks: Iterable[ScenePixels]) -> None:
    test = shared.reading.rule.test
    assert test is not None  # by which masks hide
    assert portion.hidden is not None  # what they are read for
    for pixels in masks:
        portion.hidden.put(pixels, test)


# --- portions -------------------------------------------------------------------------------------------------------


def _portions(bands: Sequence[Shared], task: Task, room: HiddenRoom) -> list[_Portion]:
    """The files of a task in the order in which they are read."""
    shared, portions = bands[0], list[_Portion]()
    costs = FetchCounts(), InflateCounts()
    outside = None if shared.area is None else ~shared.area.inside(task.window)
    in_lots = sorted(range(task.start, task.stop), key=shared.lots.of_scene)
    for by_gdal, numbers in groupby(in_lots, shared.by_gdal.__getitem__):
        for parts in _together(shared, _scene_parts(bands, task, numbers)):
            hidden = _hidden(shared, task, parts, room, outside) if shared.hides else None
            portion = _Portion(task, *costs, parts, by_gdal, hidden)
            portions += [*_masks(shared, portion), portion]
    last = portions.pop() if portions else _Portion(task, *costs, [], by_gdal=False)
    return [*portions, last._replace(ends=True)]


def _scene_parts(bands: Sequence[Shared], task: Task, numbers: Iterable[int]) -> list[ScenePart]:
    """The pixels of the task's window that scenes cover; those of scenes of one lot at one place go together."""
    (top, left, *_), start, shared = task.window, task.start, bands[0]
    parts = []
    for number in numbers:
        scene, read = shared.scenes[number], tuple(band.scenes[number].band for band in bands)
        window = scene.part(task.window)
        if window is not None:
            row, column = scene.row + window.row - top, scene.column + window.column - left
            lot = shared.lots.of_scene(number)
            parts.append(ScenePart(number - start, shared.reading.file_of(scene), window, read, row, column, lot))
    return sorted(parts, key=lambda part: (part.lot, part.window, part.row, part.column))


def _together(shared: Shared, parts: list[ScenePart]) -> Iterable[Sequence[ScenePart]]:
    """Parts whose hidden pixels are held at a time: those that the reader decodes together; all, if none is hidden."""
    if not shared.hides:
        return [parts] if parts else []
    return fast_reader.together(parts, shared.reading.fetch.scenes_together)


def _hidden(shared: Shared, task: Task, parts: Sequence[ScenePart], room: HiddenRoom, outside: Bools | None) -> Hidden:
    """Room for the hidden pixels of scenes."""
    hidden = Hidden([part.scene for part in parts], task.window[2:], room, outside)
    for scene, _, window, _, row, column, _ in parts if shared.reading.rule.test else ():
        mask = shared.scenes[task.start + scene].mask
        assert mask is not None  # every scene has one, or is left out
        first = mask.part(window)
        down, across = mask.row + first.row * mask.factor, mask.column + first.column * mask.factor
        hidden.cover(scene, Cover(mask, row + down - window.row, column + across - window.column))
    return hidden


def _masks(shared: Shared, portion: _Portion) -> Iterator[_Portion]:
    """The masks of the scenes of a portion, by the readers that take them."""
    test, start = shared.reading.rule.test, portion.task.start
    if test is None:
        return
    for by_gdal, parts in groupby(portion.parts, lambda part: shared.masks_by_gdal[start + part.scene]):
        masks = [_mask_part(shared, start + part.scene, part, test.band) for part in parts]
        yield portion._replace(parts=masks, by_gdal=by_gdal, are_masks=True)


def _mask_part(shared: Shared, number: int, part: ScenePart, band: int) -> ScenePart:
    mask = shared.scenes[number].mask
    assert mask is not None  # as above
    return ScenePart(part.scene, shared.reading.file_of(mask), mask.part(part.window), (band,))
