"""The Parquet table of spatial statistics: one row per scene."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.model import Stack
from runner.output.arrow import column, number_column, numbers
from runner.output.digest import FileFacts, ValueDigest, ValueFacts, file_sha256

_RESERVED = ("stack", "scene", "href", "datetime")


def scene_table(
    stack: Stack,
    values: Mapping[str, np.ndarray],
    about: Mapping[str, Mapping[str, str]],
    provenance: Mapping[str, str],
) -> pa.Table:
    """One row per scene: who it is, its named groups, then one column per statistic, each of shape (scenes,).

    Floats are null where a scene has too few valid pixels. The metadata of a column is what `about` says of it, the
    file's is the provenance.
    """
    scenes = stack.scenes
    columns: dict[str, pa.Array] = {
        "stack": column([stack.name] * len(scenes), pa.string()),
        "scene": column([scene.name for scene in scenes], pa.string()),
        "href": column([scene.href for scene in scenes], pa.string()),
        "datetime": column([scene.time for scene in scenes], pa.timestamp("us", tz="UTC")),
    }
    for group in sorted({name for scene in scenes for name in scene.groups}, key=_group_order(scenes[0].groups)):
        columns[free_name(group, values)] = column([scene.groups.get(group) for scene in scenes], pa.string())
    columns |= {name: number_column(array) for name, array in values.items()}
    fields = [pa.field(name, array.type, metadata=about.get(name) or None) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={"cog_stack_runner": json.dumps(dict(provenance), sort_keys=True)})
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


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
        pq.write_table(table, aside, compression="zstd")
        found = pq.ParquetFile(aside).read(use_threads=False)  # read_table would import pandas
        if not _as_bits(found).equals(_as_bits(table)):
            raise OutputError(f"{path}: read back, the table is not what was written; check the disk")
        facts = tuple(_column_facts(found, name) for name in statistics)
        return FileFacts(path, aside.stat().st_size, file_sha256(aside), facts)


def _as_bits(table: pa.Table) -> pa.Table:
    """Floats as integers of the same bits, so that NaN equals NaN."""
    kinds = [_bits_of(kind) for kind in table.schema.types]
    columns = [table[at].combine_chunks().view(kind) for at, kind in enumerate(kinds)]
    return pa.Table.from_arrays(columns, table.column_names)


def _bits_of(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_bits_of(kind.value_type))
    return {pa.float64(): pa.int64(), pa.float32(): pa.int32()}.get(kind, kind)


def _column_facts(table: pa.Table, name: str) -> ValueFacts:
    values = numbers(table[name])
    digest = ValueDigest(name, values.dtype, values.shape)
    digest.add(values)
    return digest.facts()
