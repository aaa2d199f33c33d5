"""The vocabulary of a config: groups, keys and their types."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from runner.config.setting_fields import fields_of, record_in
from runner.settings import JobSettings

STAGES = ("spatial_mean", "temporal_mean")  # of the default config


def config_dir() -> Path:
    """The folder of our YAML files: inside the package when installed from a wheel, beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def groups() -> set[str]:
    """The names of our config groups."""
    return {path.name for path in config_dir().iterdir() if path.is_dir()}


def options_of(group: str) -> list[str]:
    """The options of one of our groups."""
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def is_option(group: str, name: str) -> bool:
    """Tell if one of our groups has an option of this name."""
    return "/" not in name and (config_dir() / group / f"{name}.yaml").is_file()


def known_keys(record: type = JobSettings, stages: Iterable[str] = STAGES, at: str = "") -> Iterator[str]:
    """Every dotted key of a settings record, inner nodes too; a table of stages counts once for each stage."""
    for entry in fields_of(record):
        key = f"{at}{entry.name}"
        yield key
        if entry.record is not None:
            nodes = [f"{key}.{stage}" for stage in stages] if entry.is_table else [key]
            for node in nodes:
                yield node
                yield from known_keys(entry.record, stages, f"{node}.")


@cache
def _annotation(key: str) -> Any:
    """The type of a dotted key; None if there is no such key."""
    found: Any = JobSettings
    for part in key.split("."):
        if get_origin(found) is dict:
            found = get_args(found)[1]
            continue
        entries = fields_of(record) if (record := record_in(found)) is not None else ()
        found = next((entry.annotation for entry in entries if entry.name == part), None)
    return found


def is_section(key: str) -> bool:
    """Tell if a key holds keys of its own."""
    annotation = _annotation(key)
    return get_origin(annotation) is dict or record_in(annotation) is not None


def is_text(key: str) -> bool:
    """Tell if a key's value is a text."""
    annotation = _annotation(key)
    return get_origin(annotation) not in (list, dict) and str in (annotation, *get_args(annotation))


def is_list(key: str) -> bool:
    """Tell if a key's value is a list."""
    annotation = _annotation(key)
    return list in (get_origin(annotation), *map(get_origin, get_args(annotation)))
