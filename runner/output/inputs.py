"""`inputs.parquet`: every object of the archive, used or left out and why."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from runner.model import Inputs, LeftOut, OpenedFile, Scene, StoredObject
from runner.output.arrow import table_of
from runner.output.footprint import Footprint, footprints_of
from runner.output.geoparquet import GEOMETRY, with_footprints
from runner.output.table import write_table

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        ("href", pa.string()),
        ("scene", pa.string()),
        ("datetime", _TIME),
        ("used", pa.bool_()),
        ("reason", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("modified", _TIME),
        ("crs", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("dtype", pa.string()),
        ("band", pa.int32()),  # that is read, from 1
        ("nodata", pa.float64()),
        ("block_height", pa.int32()),
        ("block_width", pa.int32()),
        ("compression", pa.string()),
        ("predictor", pa.int32()),
        ("transform", pa.list_(pa.float64())),  # a, b, c, d, e, f: pixel (column, row) to CRS
        ("skipped", pa.bool_()),  # not used since it could not be read, and on_error=skip let that pass
        ("groups", pa.string()),  # named groups and columns of a manifest, as JSON
        ("sidecars", pa.list_(pa.string())),  # files beside it that say where it lies, or its nodata
        ("sidecars_sha256", pa.string()),  # of what they say
        ("mask_href", pa.string()),  # the file that hides pixels of it
        ("mask_etag", pa.string()),
        ("mask_size", pa.int64()),
        ("mask_modified", _TIME),
        (GEOMETRY, pa.binary()),  # of a scene's own edges
    ]
)


def write_inputs(path: Path, inputs: Inputs) -> None:
    """Write the table, scenes in their order and then what was left out; nodata is of the band. Raises OutputError."""
    grid, scenes = inputs.stack.grid, inputs.stack.scenes
    rows = [_used(scene, grid.crs_name) for scene in scenes] + [_unused(item) for item in inputs.left_out]
    footprints = [*footprints_of(grid, (scene.window for scene in scenes)), *[None] * len(inputs.left_out)]
    _write(path, rows, footprints)


def write_left_out(path: Path, left_out: Sequence[LeftOut]) -> None:
    """Write the table of an archive's objects that are in no stack. Raises OutputError."""
    _write(path, [_unused(item) for item in left_out], [None] * len(left_out))


def _write(path: Path, rows: Sequence[Mapping[str, object]], footprints: Sequence[Footprint | None]) -> None:
    table = table_of(rows, SCHEMA.remove(SCHEMA.get_field_index(GEOMETRY)))
    write_table(path, with_footprints(table, footprints))


def _used(scene: Scene, crs_name: str) -> dict[str, object]:
    header, nodata = scene.header, scene.header.nodata_of(scene.band)
    return {
        "href": scene.href,
        "scene": scene.name,
        "datetime": scene.time,
        "used": True,
        "size": scene.size,
        "etag": scene.etag,
        "modified": scene.modified,
        "crs": crs_name,
        "height": header.shape[0],
        "width": header.shape[1],
        "dtype": header.dtype,
        "band": scene.band,
        "nodata": None if nodata is None else float(nodata),  # rounded, of 64-bit integers
        "block_height": header.tile_shape[0],
        "block_width": header.tile_shape[1],
        "compression": header.compression,
        "predictor": header.predictor,
        "transform": list(header.transform),
        "skipped": False,
        "groups": json.dumps(scene.groups, ensure_ascii=False),
        "sidecars": list(scene.sidecars),
        "sidecars_sha256": scene.sidecars_sha256,
        **_mask(scene.mask),
    }


def _mask(mask: OpenedFile | StoredObject | None) -> dict[str, object]:
    names = ("href", "etag", "size", "modified")
    return {f"mask_{name}": getattr(mask, name) for name in names} if mask else {}


def _unused(left_out: LeftOut) -> dict[str, object]:
    item = left_out.item
    return {
        "href": item.href,
        "scene": left_out.scene,
        "datetime": left_out.time,
        "used": False,
        "reason": left_out.reason,
        "skipped": left_out.skipped,
        "size": item.size,
        "etag": item.etag,
        "modified": item.modified,
        **_mask(item.mask),
    }
