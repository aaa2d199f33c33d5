"""`item.json`: the results of a stack as a STAC Item, the same text for the same results, config and software.

Sources: STAC 1.1.0, and its extensions Projection 2.0.0, File Info 2.1.0 and Processing 1.2.0. Every path in it is
relative to it, so that it holds wherever the folder is copied.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from rasterio.crs import CRS

from runner.base.atomic import write_json
from runner.base.humanize import plural
from runner.errors import printable
from runner.model import Grid, Inputs, Stack
from runner.output.bands import describe_band
from runner.output.digest import FileFacts, ValueFacts, file_sha256
from runner.output.footprint import footprint_of, outline
from runner.output.results import inputs_sha256, package_version
from runner.planning.records import Layer, StagePlan
from runner.publish.media_types import COG, media_type
from runner.read.services import is_remote
from runner.record.outputs import StageFiles
from runner.settings import Over

STAC_VERSION: Final = "1.1.0"
_EXTENSIONS: Final = "https://stac-extensions.github.io"
PROJECTION: Final = f"{_EXTENSIONS}/projection/v2.0.0/schema.json"
FILE: Final = f"{_EXTENSIONS}/file/v2.1.0/schema.json"
PROCESSING: Final = f"{_EXTENSIONS}/processing/v1.2.0/schema.json"
MOST_LINKS: Final = 100  # to scenes; of more, inputs.parquet has the list
_SHA256: Final = "1220"  # the kind and the length of a hash, as multihash has them
_RECORD: Final = {  # files that change until the run has ended, so that no hash of them is known
    "run.json": ("Record of the run", ["metadata"]),
    "outputs.json": ("Hashes of the results and of their values", ["metadata"]),
    "report.html": ("Report", ["metadata"]),
}


class Described(NamedTuple):
    """What an item is made of: an id, the inputs, the results, the hash of the config; `archived` if of an archive."""

    name: str
    inputs: Inputs
    stages: Sequence[StageFiles]
    config_sha256: str | None
    archived: bool


def write_item(path: Path, described: Described) -> None:
    """Write the item of a run's folder. Raises OutputError."""
    write_json(path, _item(path.parent, described))


def _item(folder: Path, described: Described) -> dict[str, Any]:
    stack = described.inputs.stack
    footprint = footprint_of(stack.grid)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION, FILE, PROCESSING],
        "id": described.name,
        "geometry": footprint.geometry if footprint else None,
        **({"bbox": footprint.bbox} if footprint else {}),
        "properties": {
            "datetime": None,
            "start_datetime": in_utc(stack.scenes[0].time),
            "end_datetime": in_utc(stack.scenes[-1].time),
            **_projection(stack.grid),
            **_processing(described),
        },
        "links": [*_links_to_collection(archived=described.archived), *_derived_from(described.inputs)],
        **({"collection": described.inputs.stack.name} if described.archived else {}),
        "assets": dict(_assets(folder, described)),
    }


def in_utc(time: datetime) -> str:
    """A time as RFC 3339 has it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _projection(grid: Grid) -> dict[str, Any]:
    xs, ys = outline(grid)
    place = {
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform),
        "proj:bbox": [min(xs), min(ys), max(xs), max(ys)],
    }
    if grid.crs is None:
        return {"proj:code": None, **place}
    if grid.crs_name.startswith("EPSG:"):
        return {"proj:code": grid.crs_name, **place}
    return {"proj:code": None, "proj:wkt2": CRS.from_wkt(grid.crs).to_wkt(version="WKT2_2019"), **place}


def _processing(described: Described) -> dict[str, Any]:
    stack = described.inputs.stack
    reductions = ", ".join(
        f"{stage.name} ({'; '.join(filter(None, [', '.join(stage.statistics), _by(stage)]))})"
        for stage, _ in described.stages
    )
    scenes = plural(len(stack.scenes), "scene")
    listed = "as linked" if len(stack.scenes) <= MOST_LINKS else "of which inputs.parquet is the list"
    return {
        "processing:lineage": f"{reductions} of {scenes} of {printable(stack.name)}, {listed}",
        "processing:software": {"cog-stack-runner": package_version()},
        "cog_stack_runner:scenes": len(stack.scenes),
        "cog_stack_runner:config_sha256": described.config_sha256,
        "cog_stack_runner:inputs_sha256": inputs_sha256(file for scene in stack.scenes for file in scene.objects),
    }


def _by(stage: StagePlan) -> str:
    return f"by {', '.join(stage.groups.by)}" if stage.groups else ""


# --- links ------------------------------------------------------------------------------------------------------------


def _links_to_collection(*, archived: bool) -> Iterator[dict[str, str]]:
    for relation in ("root", "parent", "collection") if archived else ():
        yield {"rel": relation, "href": "../../collection.json", "type": "application/json"}


def _derived_from(inputs: Inputs) -> Iterator[dict[str, str]]:
    scenes = inputs.stack.scenes
    for scene in scenes if len(scenes) <= MOST_LINKS else ():
        href = scene.href if is_remote(scene.href) else _uri(scene.href)
        yield {"rel": "derived_from", "href": href, "type": "image/tiff; application=geotiff", "title": scene.name}


def _uri(path: str) -> str:
    folder, name = os.path.split(path)
    if not folder.startswith("/"):
        folder = str(Path(folder).absolute())  # which the cache must not keep: the current folder may be another
    return f"{_folder_uri(folder)}/{quote(os.fsencode(name))}"


@lru_cache(maxsize=256)
def _folder_uri(folder: str) -> str:
    """That of an absolute folder, in which many scenes lie: the path of each takes long to take apart."""
    return Path(folder).as_uri().removesuffix("/")


# --- assets -----------------------------------------------------------------------------------------------------------


def _assets(folder: Path, described: Described) -> Iterator[tuple[str, dict[str, Any]]]:
    stack = described.inputs.stack
    for one in described.stages:
        stage = one.stage
        for file, layers in one.layers:
            over_time = stage.over is Over.time
            yield file.path.stem, _raster(file, layers, stage, stack) if over_time else _table(file, stage.over)
    listing = folder / "inputs.parquet"
    facts = _stored(listing.name, "Scenes, and objects left out", ["metadata"])
    yield listing.stem, {**facts, **_file(listing.stat().st_size, file_sha256(listing))}
    for name, (title, roles) in _RECORD.items():
        yield Path(name).stem, _stored(name, title, roles)


def _raster(file: FileFacts, layers: Sequence[Layer], stage: StagePlan, stack: Stack) -> dict[str, Any]:
    names = ", ".join(dict.fromkeys(layer.statistic for layer in layers))
    of_group = f"of {layers[0].label}" if len(layers) == 1 and stage.groups else _by(stage)
    facts = _stored(file.path.name, f"Temporal {names} {of_group}".strip(), ["data"], COG)
    bands = [_band(values, layer, stage, stack) for values, layer in zip(file.values, layers, strict=True)]
    return {**facts, **_file(file.bytes, file.sha256), "bands": bands}


def _band(values: ValueFacts, layer: Layer, stage: StagePlan, stack: Stack) -> dict[str, Any]:
    pixels = values.shape[0] * values.shape[1]
    about: dict[str, Any] = {
        "name": layer.name,
        "description": describe_band(layer, stage.groups, stack),
        "data_type": values.dtype,
    }
    if values.nodata is not None:
        about["nodata"] = values.nodata
    unit = stage.unit(values.name, stack.units)
    if unit:
        about["unit"] = unit
    present = {"minimum": values.minimum, "maximum": values.maximum}
    known = {name: value for name, value in present.items() if isinstance(value, int | float)}
    about["statistics"] = {**known, "valid_percent": round(100 * values.count / pixels, 4)}
    return about


def _table(file: FileFacts, over: Over) -> dict[str, Any]:
    zonal = over is Over.zones
    title = (
        "Statistics of zones, a row for each scene and zone" if zonal else "Spatial statistics, a row for each scene"
    )
    facts = _stored(file.path.name, title, ["data"])
    return {**facts, **_file(file.bytes, file.sha256)}


def _stored(name: str, title: str, roles: Sequence[str], kind: str | None = None) -> dict[str, Any]:
    return {"href": f"./{name}", "type": kind or media_type(name), "title": title, "roles": list(roles)}


def _file(size: int, sha256: str) -> dict[str, Any]:
    return {"file:size": size, "file:checksum": f"{_SHA256}{sha256}"}
