"""The Parquet table of spatial statistics: one row per scene."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.model import Stack
from runner.output.arrow import column, number_column, number_indices, numbers
from runner.output.digest import FileFacts, ValueDigest, ValueFacts, file_sha256
from runner.output.footprint import footprints_of
from runner.output.geoparquet import GEOMETRY, with_footprints

_SMALL_BYTES: Final = 2**16  # of a table that is not compressed: that takes most of the time, and spares little
_BITS: Final = {pa.float64(): pa.int64(), pa.float32(): pa.int32()}
_RESERVED = ("stack", "scene", "href", "datetime", GEOMETRY)


def scene_table(
    stack: Stack,
    values: Mapping[str, np.ndarray],
    about: Mapping[str, Mapping[str, str]],
    provenance: Mapping[str, str],
) -> pa.Table:
    """One row per scene: who it is, its named groups, then one column per statistic, each of shape (scenes,).

    Floats are null where a scene has too few valid pixels. The last column is the footprint of what the scene covers of
    the grid, null where that is nothing. The metadata of a column is what `about` says of it, the file's is the
    provenance.
    """
    columns = _scene_columns(stack, values) | {name: number_column(array) for name, array in values.items()}
    covered = [stack.grid.window.common(scene.window) for scene in stack.scenes]
    return with_footprints(_table(columns, about, provenance), [*footprints_of(stack.grid, covered)])


def zone_table(
    stack: Stack,
    zones: npt.NDArray[Any],
    values: Mapping[str, np.ndarray],
    about: Mapping[str, Mapping[str, str]],
    provenance: Mapping[str, str],
) -> pa.Table:
    """One row per scene and zone, the zones of a scene next to one another: as `scene_table`, with a column `zone`.

    `zones` are the names of zones, and values are of shape (scenes * zones,).
    """
    numbers = np.repeat(np.arange(len(stack.scenes), dtype=np.int32), len(zones))
    rows = number_indices(numbers)
    columns = {name: array.take(rows) for name, array in _scene_columns(stack, {**values, "zone": zones}).items()}
    named = column(zones.tolist(), pa.string()) if zones.dtype == object else number_column(zones)
    columns["zone"] = named.take(number_indices(np.tile(np.arange(len(zones), dtype=np.int32), len(stack.scenes))))
    return _table(columns | {name: number_column(array) for name, array in values.items()}, about, provenance)


def _table(
    columns: Mapping[str, pa.Array], about: Mapping[str, Mapping[str, str]], provenance: Mapping[str, str]
) -> pa.Table:
    fields = [pa.field(name, array.type, metadata=about.get(name) or None) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={"cog_stack_runner": json.dumps(dict(provenance), sort_keys=True)})
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def _scene_columns(stack: Stack, taken: Collection[str]) -> dict[str, pa.Array]:
    """Who each scene is, and its named groups, which give way to other columns."""
    scenes = stack.scenes
    columns: dict[str, pa.Array] = {
        "stack": column([stack.name] * len(scenes), pa.string()),
        "scene": column([scene.name for scene in scenes], pa.string()),
        "href": column([scene.href for scene in scenes], pa.string()),
        "datetime": column([scene.time for scene in scenes], pa.timestamp("us", tz="UTC")),
    }
    for group in sorted({name for scene in scenes for name in scene.groups}, key=_group_order(scenes[0].groups)):
        columns[free_name(group, taken)] = column([scene.groups.get(group) for scene in scenes], pa.string())
    return columns


def _group_order(first: Mapping[str, str]) -> Callable[[str], tuple[int, str]]:
    order = {name: at for at, name in enumerate(first)}
    return lambda name: (order.get(name, len(order)), name)


def free_name(group: str, statistics: Collection[str]) -> str:
    """The column of a named group, whose name a statistic or a column of ours may have."""
    return f"{group}_" if group in statistics or group in _RESERVED else group


def write_table(path: Path, table: pa.Table, statistics: Sequence[str] = ()) -> FileFacts:
    """Write, read back and compare before the file gets its name; state what these columns of it are.

    Raises OutputError.
    """
    with written_aside(path) as aside:
        pq.write_table(table, aside, compression="zstd" if table.nbytes > _SMALL_BYTES else "none")
        found = pq.ParquetFile(aside).read(use_threads=False)  # read_table would import pandas
        if not _as_bits(found).equals(_as_bits(table)):
            raise OutputError(f"{path}: read back, the table is not what was written; check the disk")
        facts = tuple(_column_facts(found, name) for name in statistics)
        return FileFacts(path, aside.stat().st_size, file_sha256(aside), facts)


def _as_bits(table: pa.Table) -> pa.Table:
    """Floats as integers of the same bits, so that NaN equals NaN."""
    columns = [table[at] for at in range(table.num_columns)]
    kinds = [_bits_of(kind) for kind in table.schema.types]
    bits = [own if kind is None else own.combine_chunks().view(kind) for own, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(bits, table.column_names)


def _bits_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of the bits of floats, and of lists of them; None for what equals itself."""
    if pa.types.is_list(kind):
        bits = _bits_of(kind.value_type)
        return bits and pa.list_(bits)
    return _BITS.get(kind)


def _column_facts(table: pa.Table, name: str) -> ValueFacts:
    values = numbers(table[name])
    digest = ValueDigest(name, values.dtype, values.shape)
    digest.add(values)
    return digest.facts()
