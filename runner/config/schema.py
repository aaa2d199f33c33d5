"""`cog-stack-runner schema`: a JSON schema of a job, or of a file of a config group, for editors.

It is made from `runner.settings`, as the reference is.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args, get_origin

from runner.base.command import COMMAND
from runner.base.console import complain, say_page
from runner.base.streams import lost
from runner.base.suggest import did_you_mean
from runner.config.setting_fields import SettingField, enums_in, fields_of, meaning, meaning_lines
from runner.config.vocabulary import config_dir, groups
from runner.errors import ConfigError
from runner.read.gdal_environment import check_option_names, known_options
from runner.settings import ClusterSettings, JobSettings, Limits, StageSettings

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HELP: Final = f"""\
{COMMAND} schema            the JSON schema of a whole job, such as experiment/NAME.yaml
{COMMAND} schema GROUP      that of a file of a config group, such as source/NAME.yaml

An editor with a YAML language server reads it from a comment in the file:
  # yaml-language-server: $schema=../job.schema.json
"""
_PLAIN: Final[dict[Any, Schema]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": ["string", "number"]},  # a number is taken for the text that it is written as
    Any: {"anyOf": [{"type": ["number", "null"]}, {"enum": ["nan"]}]},
}
_INTERPOLATION: Final[Schema] = {
    "description": "An interpolation such as ${oc.env:NAME}, or ??? for a value that has to be given elsewhere.",
    "type": "string",
    "pattern": r"\$\{|^\?\?\?$",
}
_GROUP_VALUE: Final[Schema] = {"type": ["string", "number", "boolean", "null"]}
_GROUP_VALUES: Final[Schema] = {"anyOf": [_GROUP_VALUE, {"type": "array", "items": _GROUP_VALUE}]}
_HYDRA: Final[Schema] = {
    "description": "Settings of Hydra, such as `mode: MULTIRUN` and `sweeper: {params: {KEY: VALUE,VALUE}}`.",
    "type": "object",
}
_STAGE_NAME: Final = "^[a-z][a-z0-9_]*$"


def main(words: Sequence[str]) -> int:
    """Print the schema that the command line asks for; the exit code, 2 for a group that is not there."""
    try:
        text = _HELP if set(words) & {"-h", "--help"} else json.dumps(_asked_for(words), indent=2) + "\n"
    except ConfigError as error:
        complain(str(error))
        return error.exit_code
    say_page(text)
    return int(lost(sys.stdout) is not None)


def schema(group: str = "experiment") -> Schema:
    """The JSON schema of a file of a config group; a file of `experiment` is a whole job.

    Raises ConfigError for a group that is not there.
    """
    owners = _owners()
    if group not in owners:
        near = did_you_mean(group, owners)
        raise ConfigError(f"schema {group}: there is no such config group{near}; there are {', '.join(sorted(owners))}")
    owner = owners[group]
    job = owner is JobSettings
    body = object_schema(owner)
    body["properties"] = {"defaults": _defaults(group), **({"hydra": _HYDRA} if job else {}), **body["properties"]}
    below = {record.__name__: object_schema(record) for record in dict.fromkeys(_records_below(owner))}
    title = "A job of cog-stack-runner" if job else f"A file {group}/NAME.yaml of cog-stack-runner"
    return {"$schema": _DIALECT, "title": title, **body, "$defs": {"interpolation": _INTERPOLATION, **below}}


def _asked_for(words: Sequence[str]) -> Schema:
    if len(words) > 1:
        raise ConfigError(f"schema {' '.join(words)}: wanted one config group at most")
    return schema(*words)


def _owners() -> dict[str, type]:
    """The record that a file of each config group gives values to."""
    sections = {entry.name: entry.record for entry in fields_of(JobSettings) if entry.name in groups()}
    found = {name: record for name, record in sections.items() if record is not None}
    return {"experiment": JobSettings, **found, "stage": StageSettings, "cluster": ClusterSettings}


def _records_below(owner: type) -> Iterator[type]:
    for entry in fields_of(owner):
        if entry.record is not None:
            yield entry.record
            yield from _records_below(entry.record)


def object_schema(record: type) -> Schema:
    """The JSON schema of a section, for use where `$defs` has the sections below it."""
    return {
        "description": meaning(record),
        "type": "object",
        "properties": {entry.name: _property(entry) for entry in fields_of(record)},
        "additionalProperties": False,
    }


def _property(entry: SettingField) -> Schema:
    null: list[Schema] = [{"type": "null"}] if entry.optional else []
    schema: Schema = {"description": "\n".join(meaning_lines(entry))}
    if entry.record is None and entry.plain_default != "???":
        schema["default"] = entry.plain_default
    return {**schema, "anyOf": [*_values(entry), *null, {"$ref": "#/$defs/interpolation"}]}


def _values(entry: SettingField) -> list[Schema]:
    """The values of a key, but for null and interpolations."""
    if entry.limits is not None:
        return _within(entry.limits, entry.plain)
    if entry.record is not None:
        section: Schema = {"$ref": f"#/$defs/{entry.record.__name__}"}
        names = {"propertyNames": {"pattern": _STAGE_NAME}}
        return [{"type": "object", **names, "additionalProperties": section} if entry.is_table else section]
    if entry.name == "where":
        return [{"type": "object", "additionalProperties": _GROUP_VALUES}]
    if entry.is_table:
        values = {"additionalProperties": {"type": ["string", "number", "boolean"]}}
        return [{"type": "object", "propertyNames": {"enum": _gdal_options()}, **values}]
    return [_kind(entry.plain)]


def _kind(annotation: Any) -> Schema:
    if get_origin(annotation) is list:
        items = [_kind(get_args(annotation)[0]), {"$ref": "#/$defs/interpolation"}]
        return {"type": "array", "items": {"anyOf": items}}
    choices = [member.name for owner in enums_in(annotation) for member in owner]
    return {"enum": choices} if choices else _PLAIN[annotation]


def _within(limits: Limits, kind: Any) -> list[Schema]:
    """The words, and the numbers or texts, that limits allow."""
    if limits.texts:
        number: Schema = {"type": "integer", "minimum": limits.least}
        item: Schema = {"anyOf": [{"type": "string"}, number]} if limits.whole else {"type": "string"}
        return [item, {"type": "array", "items": item, "minItems": 1}]
    bounds = {"minimum": limits.least, "exclusiveMinimum": limits.above, "maximum": limits.most}
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    number = {"type": "integer" if limits.whole or kind is int else "number", **known}
    text: list[Schema] = [{"type": "string"}] if limits.text else []
    return [*([{"enum": list(limits.words)}] if limits.words else []), *([number] if known else []), *text]


def _gdal_options() -> list[str]:
    """The options of GDAL that a config may have."""
    return sorted(name for name in known_options() if _is_accepted(name))


def _is_accepted(option: str) -> bool:
    try:
        check_option_names({option: ""})
    except ConfigError:
        return False
    return True


def _defaults(group: str) -> Schema:
    """The list of files that a file begins with: of its own group by name, of others by `group: option`."""
    own = {"anyOf": [{"enum": ["_self_", *_options(group)]}, {"type": "string"}]}
    others = {_entry_pattern(one): _choice(one) for one in sorted(groups() - {"hydra"})}
    choice = {"type": "object", "patternProperties": {**others, _entry_pattern("hydra/.+"): {}}}
    return {
        "description": "Config files whose values come first. `_self_` stands for this file, which is last without it.",
        "type": "array",
        "items": {"anyOf": [own, {**choice, "additionalProperties": False}]},
    }


def _choice(group: str) -> Schema:
    """An option of a group: one of ours, or of the user's; or several, or none."""
    return {"anyOf": [{"enum": [*_options(group), None]}, {"type": ["string", "array"]}]}


def _entry_pattern(group: str) -> str:
    return f"^(override |optional )*/?{group}(@[A-Za-z_][A-Za-z0-9_.]*)?$"


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
