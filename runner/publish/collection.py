"""`collection.json`: the stacks of an archive as a STAC Collection, with a link to the item of each."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from runner.base.atomic import write_json
from runner.base.conversion import decoded
from runner.base.humanize import plural
from runner.errors import RecordError
from runner.publish.item import STAC_VERSION
from runner.record.claim import COLLECTION, ITEM
from runner.record.stacks import FOLDER
from runner.settings import JobSettings

_EVERYWHERE: Final = (-180.0, -90.0, 180.0, 90.0)


class _Times(Struct):
    start_datetime: str
    end_datetime: str


class _Item(Struct):
    """What a collection says of an item."""

    properties: _Times
    bbox: tuple[float, float, float, float] | None = None


def write_collection(job: JobSettings, folder: Path, stacks: Sequence[str]) -> list[str]:
    """Write the collection of those of these stacks that have items; its name, or nothing if there is no item.

    Raises OutputError, and RecordError for an item that cannot be read.
    """
    paths = {stack: folder / FOLDER / stack / ITEM for stack in stacks}
    items = {stack: _read(path) for stack, path in paths.items() if path.exists()}
    if not items:
        return []
    write_json(folder / COLLECTION, _collection(job, items))
    return [COLLECTION]


def _read(path: Path) -> _Item:
    try:
        return decoded(path.read_bytes(), _Item)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordError(
            f"{path} cannot be read: {error}; remove {path.parent} and resume the archive, which then computes the "
            "stack again, or set output.stac=false"
        ) from error


def _collection(job: JobSettings, items: dict[str, _Item]) -> dict[str, Any]:
    times = [item.properties for item in items.values()]
    interval = [min(time.start_datetime for time in times), max(time.end_datetime for time in times)]
    links = [{"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"}]
    links += [{"rel": "item", "href": f"./{FOLDER}/{stack}/{ITEM}", "type": "application/geo+json"} for stack in items]
    parted = ", ".join(job.source.parted_by)
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": job.source.name,
        "description": f"Statistics of {plural(len(items), 'stack')} of {job.source.name} by {parted}, made by "
        f"cog-stack-runner {version('cog-stack-runner')}",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [_union(item.bbox for item in items.values())]},
            "temporal": {"interval": [interval]},
        },
        "links": links,
    }


def _union(boxes: Iterable[tuple[float, float, float, float] | None]) -> list[float]:
    """The box around all: of all longitudes if one crosses the antimeridian, of all the Earth if none is known."""
    known = [box for box in boxes if box is not None] or [_EVERYWHERE]
    if any(west > east for west, _, east, _ in known):
        west, east = _EVERYWHERE[0], _EVERYWHERE[2]
    else:
        west, east = min(box[0] for box in known), max(box[2] for box in known)
    return [west, min(box[1] for box in known), east, max(box[3] for box in known)]
