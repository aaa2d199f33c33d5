"""The settings that choose values and scenes, by which runs are known to ask for the same."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from runner.base.overrides import as_text
from runner.base.tree import flat
from runner.errors import ConfigError, RecordError
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, read_stacks

_OF_SOURCE: Final = (
    "band", "scale", "offset", "nodata", "valid_range", "mask_and_scale", "units", "min_valid_fraction", "sidecars",
    "georeference", "grid", "bbox", "bbox_crs", "area", "area_layer",
)  # fmt: skip
_OF_OUTPUT: Final = ("raster_dtype", "layout", "scale")
_OF_STAGE: Final = ("over", "statistics", "min_count", "weights", "group_by")
_SCENES_OF_SOURCE: Final = (
    "kind", "url", "datetime_regex", "where", "stack_by", "bands", "start", "end", "exclude", "limit", "max_cloud",
    "duplicates", "asset", "stac",
)  # fmt: skip
_SCENES_OF_MASK: Final = ("on_missing",)
_OF_POLYGONS: Final = ("source.area", "source.area_layer", "zones.file", "zones.layer", "zones.id")
_BEFORE: Final = {"output.layout": "files", "output.scale": "linear"}  # in runs before there was a choice


def chooses_values(key: str) -> bool:
    """True for the dotted key of a setting on which the values of given scenes depend."""
    room, name, below = [*key.split("."), "", ""][:3]
    match room:
        case "stages":
            return below in _OF_STAGE
        case "source":
            return name in _OF_SOURCE
        case "output":
            return name in _OF_OUTPUT
        case "mask":
            return name not in _SCENES_OF_MASK
        case _:
            return room == "zones"


def chooses_scenes(key: str) -> bool:
    """True for the dotted key of a setting on which it depends what scenes a run reads."""
    room, name = [*key.split("."), ""][:2]
    return (room == "source" and name in _SCENES_OF_SOURCE) or (room == "mask" and name in _SCENES_OF_MASK)


def value_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of the settings of a resolved config on which the values of given scenes depend."""
    return _BEFORE | {key: value for key, value in flat(config).items() if chooses_values(key)}


def refuse_mixed_values(archive: RunFolder, config: Mapping[str, Any]) -> None:
    """Raise ConfigError if an archive would be resumed with other values than its complete stacks have.

    Complete stacks stay as they are, and one table has the rows of all. Other files of polygons are held against the
    digests of these later.
    """
    before, now = value_settings(archive.config), value_settings(config)
    changed = [key for key in {**before, **now} if _differ(key, before.get(key), now.get(key))]
    complete = _complete_stack(archive.path) if changed else None
    if complete:
        key = changed[0]
        raise ConfigError(
            f"{key}={as_text(now.get(key))}: complete stacks, such as {complete}, were computed with "
            f"{key}={as_text(before.get(key))}, and a resumed archive keeps them; leave that as it was, or run anew "
            "with another output.dir"
        )


def _differ(key: str, before: object, now: object) -> bool:
    """Whether a setting differs; one of polygons, which may be the same in another file, only if it is set or not."""
    return (before is None) != (now is None) if key in _OF_POLYGONS else before != now


def _complete_stack(folder: Path) -> str | None:
    """The name of a stack of an archive that is complete; None if there is none."""
    with suppress(RecordError):  # without the table none has been complete
        for row in read_stacks(folder):
            if row.status == "COMPLETED" or _is_complete(folder / FOLDER / row.stack):
                return row.stack
    return None


def _is_complete(folder: Path) -> bool:
    """Whether a stack was complete when its archive was killed, before the table said so."""
    with suppress(RecordError):
        return read_run(folder).status == "COMPLETED"
    return False
