"""The values of two runs compared: the same bits, or their distance and its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from runner.compare.sections import Difference, Section
from runner.compare.spread import Largest, Spread, Values
from runner.errors import RecordError
from runner.output.names import raster_files
from runner.output.read_back import band_named, column, opened_raster, read_table, read_window
from runner.record.run_files import StoredValues, altered_outputs
from runner.record.run_folder import RunFolder
from runner.settings import Layout, Over

_ROWS = 512  # of a raster at a time
_SMALL = 0.01  # see `relative_differences`


class Key(NamedTuple):
    """A statistic of a stage, over time perhaps of a group of the scenes."""

    stage: str
    statistic: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.stage}: {self.statistic}{f' of {self.group}' if self.group else ''}"


@dataclass(frozen=True, slots=True)
class Result:
    """The file of a statistic: a column of a table over space, or a band of a raster over time."""

    key: Key
    over: Over
    path: Path


def results_of(run: RunFolder) -> dict[Key, Result]:
    """Every statistic that the run's config asks for, with its file; those of groups as outputs.json lists them.

    Raises RecordError for a config that has none, and for groups without outputs.json.
    """
    results: dict[Key, Result] = {}
    try:
        layout = Layout[(run.config.get("output") or {}).get("layout") or "files"]
        for stage, settings in run.config["stages"].items():
            over, names = Over(settings["over"]), list(settings["statistics"])
            if settings.get("group_by"):
                results |= _of_groups(run, stage)
                continue
            tables = {f"{stage}.parquet": names}
            files = tables if over.makes_table else raster_files(stage, names, layout)
            for file, in_it in files.items():
                results |= {Key(stage, name): Result(Key(stage, name), over, run.path / file) for name in in_it}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{run.path / 'run.json'}: its config has no stages as runs have them ({error!r})") from error
    return results


def _of_groups(run: RunFolder, stage: str) -> dict[Key, Result]:
    """The rasters of the groups of a stage."""
    keys = {
        Key(stage, value.name, value.group): file.name
        for file in run.outputs()
        if file.stage == stage
        for value in file.values
        if value.group
    }
    return {key: Result(key, Over.time, run.path / name) for key, name in keys.items()}


def differing_values(a: RunFolder, b: RunFolder) -> Section:
    """Compare by the digests of outputs.json, and the values themselves where these differ or are missing.

    A digest says nothing of a file that has changed since it was written, nor of the place of its values: a result
    that was altered or deleted, or has its pixels or scenes elsewhere, differs. Raises RecordError
    for one that cannot be read.
    """
    unfinished = [run for run in (a, b) if run.status != "COMPLETED"]
    if unfinished:
        differences = [Difference("results", a.status, b.status)] if len(unfinished) == 1 else []
        return Section("values", differences, "neither left any", [f"{run.path} is {run.status}" for run in unfinished])
    ours, theirs = results_of(a), results_of(b)
    digests, notes = zip(*map(_digests, (a, b)), strict=True)
    altered = altered_outputs(a.path) | altered_outputs(b.path)
    differences = []
    for key in {**ours, **theirs}:
        if key not in ours or key not in theirs:
            sides = ("there" if key in results else "not computed" for results in (ours, theirs))
            differences.append(Difference(str(key), *sides))
        else:
            same = digests[0].get(key) is not None and digests[0].get(key) == digests[1].get(key)
            differences += _compare(ours[key], theirs[key], same, altered)
    return Section("values", differences, f"the same bits in all {len(ours)} statistics", list(filter(None, notes)))


def _digests(run: RunFolder) -> tuple[dict[Key, StoredValues], str]:
    """The recorded digests of a run's values, with dtype and shape; or none, and why."""
    try:
        files = run.outputs()
    except RecordError as error:
        return {}, f"{error}; the values themselves are compared"
    return {Key(file.stage, value.name, value.group or ""): value for file in files for value in file.values}, ""


def _compare(a: Result, b: Result, same: bool, altered: Mapping[Path, str]) -> Iterator[Difference]:
    """The differences; `same` says that both were the same bits when they were written."""
    if a.over is not b.over:
        yield Difference(str(a.key), f"over {a.over.value}", f"over {b.over.value}")
        return
    problems = [altered[path] for path in dict.fromkeys((a.path, b.path)) if path in altered]
    if problems:
        remark = "as written, the values were the same bits" if same else ""
        yield Difference(str(a.key), text=_joined(*problems, remark, _apart_now(a, b)))
    elif not (same and _in_the_same_place(a, b)) and (text := _apart(a, b)):
        yield Difference(str(a.key), text=text)


def _apart(a: Result, b: Result) -> str:
    return (_compare_columns if a.over.makes_table else _compare_rasters)(a, b)


def _apart_now(a: Result, b: Result) -> str:
    try:
        return _apart(a, b) or "what they hold now is the same bits"
    except RecordError:
        return "so they cannot be compared as they are now"


def _in_the_same_place(a: Result, b: Result) -> bool:
    """Whether the rows are of the same scenes, or the pixels on the same grid; no values are read of rasters."""
    if a.over.makes_table:
        ours, theirs = (_rows(read_table(result.path)) for result in (a, b))
        return bool(ours == theirs)
    with opened_raster(a.path) as raster_a, opened_raster(b.path) as raster_b:
        return _grid(raster_a) == _grid(raster_b)


def _grid(raster: Any) -> tuple[Any, ...]:
    return raster.crs, raster.transform


# --- in words ---------------------------------------------------------------------------------------------------------


def _compare_columns(a: Result, b: Result) -> str:
    """Rows are matched by href; an empty text if all are the same bits."""
    spread, common, single = _columns_apart(a, b)
    text = _in_words(spread, "rows" if a.over is Over.zones else "scenes", lambda place: common[place[0]])
    what = "rows" if a.over is Over.zones else "scenes"
    return _joined(text, f"{what} in one table only: {single}" if single else "")


def _columns_apart(a: Result, b: Result, small: float = 0.0) -> tuple[Spread, list[str], int]:
    """The distance of two columns, the scenes in both, and the number of those in one; `small` as in `Spread`."""
    tables = [read_table(result.path) for result in (a, b)]
    columns = [column(result.path, table, a.key.statistic) for result, table in zip((a, b), tables, strict=True)]
    names = [_rows(table) for table in tables]
    rows = [{name: row for row, name in enumerate(of)} for of in names]
    common = [name for name in names[0] if name in rows[1]]
    ours, theirs = (values[[of[name] for name in common]] for values, of in zip(columns, rows, strict=True))
    spread = Spread(floor=small * _magnitude(ours)).with_part(ours, theirs, 0)
    return spread, [_row_name(name) for name in common], len(names[0]) + len(names[1]) - 2 * len(common)


def _rows(table: Any) -> list[tuple[Any, ...]]:
    """What tells the rows of a table apart: the scene, and the zone if there are zones."""
    names = [name for name in ("href", "zone") if name in table.column_names]
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _row_name(row: tuple[Any, ...]) -> str:
    return row[0] if len(row) == 1 else f"{row[0]}, zone {row[1]}"


def _compare_rasters(a: Result, b: Result) -> str:
    """Windows in turn; an empty text if all pixels are the same bits and lie in the same place."""
    with opened_raster(a.path) as ours, opened_raster(b.path) as theirs:
        if ours.shape != theirs.shape:
            return f"{_size(ours.shape)} and {_size(theirs.shape)} pixels, so not compared"
        bands = _band(ours, a.key), _band(theirs, b.key)
        spread = _rasters_apart(ours, theirs, bands)
        transform = tuple(ours.transform)
        grids = "they lie on other grids" if _grid(ours) != _grid(theirs) else ""
        kinds = [raster.dtypes[band - 1] for raster, band in zip((ours, theirs), bands, strict=True)]
        types = f"pixels are {' and '.join(kinds)}" if len(set(kinds)) > 1 else ""
    text = _in_words(spread, "pixels", lambda place: pixel_place(place[0], place[1], transform))
    return _joined(text, grids, types)


def _band(raster: Any, key: Key) -> int:
    return band_named(raster, key.statistic, key.group)


def _rasters_apart(ours: Any, theirs: Any, bands: tuple[int, int], small: float = 0.0) -> Spread:
    """The distance of bands of two rasters of one shape; `small` is the part of the largest value that is the floor."""
    columns, (band, other) = slice(0, ours.width), bands
    parts = [slice(top, min(top + _ROWS, ours.height)) for top in range(0, ours.height, _ROWS)]
    largest = max(_magnitude(read_window(ours, rows, columns, band)) for rows in parts) if small else 0.0
    spread = Spread(floor=small * largest)
    for rows in parts:
        parts_of_both = read_window(ours, rows, columns, band), read_window(theirs, rows, columns, other)
        spread = spread.with_part(*parts_of_both, rows.start)
    return spread


def _magnitude(values: Values) -> float:
    """The largest value by magnitude, of those that are finite."""
    return float(np.abs(values, where=np.isfinite(values), out=np.zeros(values.shape)).max(initial=0.0))


def relative_differences(a: RunFolder, b: RunFolder) -> dict[Key, float]:
    """Of each statistic that both runs have, the largest difference relative to the larger of both values.

    What is less than a hundredth of the statistic's largest value counts as that much: a variance of equal pixels is
    nothing but what rounding leaves. Infinite where one misses a value that the other has, or a scene, has another
    grid, or where whole numbers differ, which no rounding parts. Raises RecordError for a result that cannot be read,
    and if they have no statistic in common.
    """
    ours, theirs = results_of(a), results_of(b)
    common = [key for key in ours if key in theirs and ours[key].over is theirs[key].over]
    if not common:
        raise RecordError(f"{a.path} and {b.path} have no statistic in common")
    return {key: _relative(ours[key], theirs[key]) for key in common}


def _relative(a: Result, b: Result) -> float:
    single = 0
    if a.over.makes_table:
        spread, _, single = _columns_apart(a, b, _SMALL)
    else:
        with opened_raster(a.path) as ours, opened_raster(b.path) as theirs:
            if ours.shape != theirs.shape:
                return np.inf
            bands = _band(ours, a.key), _band(theirs, b.key)
            spread = _rasters_apart(ours, theirs, bands, _SMALL)
    if single or spread.single or (spread.whole and spread.unequal):
        return np.inf
    return spread.relative.size if spread.relative else 0.0


def pixel_place(row: int, column: int, transform: tuple[float, ...]) -> str:
    """A pixel in words: row and column from 0, and its centre's coordinates by the affine a, b, c, d, e, f."""
    a, b, c, d, e, f = transform[:6]
    x, y = (k * (column + 0.5) + m * (row + 0.5) + n for k, m, n in ((a, b, c), (d, e, f)))
    return f"row {row}, column {column} (x {x:.10g}, y {y:.10g})"


def _in_words(spread: Spread, cells: str, where: Any) -> str:
    if not spread.unequal:
        return ""
    text = f"{spread.unequal:,} of {spread.cells:,} {cells} differ"
    if spread.absolute and spread.relative:
        text += f"; at most by {spread.absolute.size:.6g}, at {where(spread.absolute.place)}: {_pair(spread.absolute)}"
        text += f"; relatively by {spread.relative.size:.3g}, "
        same = spread.relative.place == spread.absolute.place
        text += "there too" if same else f"at {where(spread.relative.place)}: {_pair(spread.relative)}"
    if spread.first_single is not None:
        text += f"; {spread.single:,} are missing in one of both, the first at {where(spread.first_single)}"
    return text


def _pair(largest: Largest) -> str:
    return f"{largest.a:.9g} and {largest.b:.9g}"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
