"""The reference of all settings, as Markdown: `python -m runner.config.reference > runner/docs/reference.md`.

Types, defaults and meanings come from `runner.settings`, the options of the config groups from the files in `conf/`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from runner.base.console import say_page
from runner.config.setting_fields import SettingField, enums_in, fields_of, meaning, meaning_lines
from runner.config.vocabulary import config_dir
from runner.settings import ClusterSettings, JobSettings

_HEAD: Final = """\
# Settings

A job is made of the keys on this page. Set one on the command line (`source.limit=100`) or in a YAML file of your own.
A group has options, which are files: `gdal=cloud` takes the values of `conf/gdal/cloud.yaml`.
`cog-stack-runner --cfg job` prints the whole config of a job.

A key with the default `-` has to be given a value by you or by an option. `null` stands for a value that is not set.
Any value may be an interpolation, such as `${oc.env:BUCKET}` for an environment variable.

This page is made from `runner/settings/` and `conf/`: `python -m runner.config.reference > runner/docs/reference.md`.

## Help in an editor

An editor with a YAML language server completes keys, shows their meanings and marks mistakes. It reads them from a JSON
schema. Write one schema for a whole job, and one for each group for which you have files:

```sh
cog-stack-runner schema > my_conf/job.schema.json
cog-stack-runner schema source > my_conf/source.schema.json
```

Name the schema in a comment at the top of the file. The first line of an experiment is still `# @package _global_`:

```yaml
# @package _global_
# yaml-language-server: $schema=../job.schema.json
source:
  limit: 100
```

Visual Studio Code can also take the schema from its settings, without a comment in each file:

```json
"yaml.schemas": {"my_conf/source.schema.json": "my_conf/source/*.yaml"}
```
"""
_NAMES: Final = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_job(), *_experiments(), *_launchers()]).rstrip() + "\n"


def options(group: str) -> list[tuple[str, str]]:
    """The options of a config group, each with the comment that its file begins with."""
    return [(path.stem, _header(path)) for path in sorted((config_dir() / group).glob("*.yaml"))]


def _job() -> Iterator[str]:
    entries = fields_of(JobSettings)
    yield from _section("The job", meaning(JobSettings), "", (entry for entry in entries if entry.record is None))
    for entry in entries:
        if entry.record is not None:
            yield from _sections(f"{entry.name}.NAME" if entry.is_table else entry.name, entry.record)


def _experiments() -> Iterator[str]:
    yield from ("## `experiment`", "", "A whole job, or a sweep of jobs, in one file.", "")
    yield from _options("experiment", "`experiment=OPTION`")


def _launchers() -> Iterator[str]:
    yield from ("## `hydra/launcher`", "", "The way in which the jobs of a sweep (`-m`) are started.", "")
    yield from _options("hydra/launcher", "`hydra/launcher=OPTION`")


def _sections(key: str, record: type) -> Iterator[str]:
    """A record, the options that it may be taken from, and the records below it."""
    entries = fields_of(record)
    yield from _section(f"`{key}`", meaning(record), f"{key}.", entries)
    if key == "stages.NAME":
        yield from _options("stage", "`stage@stages.NAME=OPTION`")
    elif record is ClusterSettings:
        yield from _options("cluster", "`cluster=OPTION` for all stages, or `stages.NAME.cluster=OPTION` for one")
    elif (config_dir() / key).is_dir():
        yield from _options(key, f"`{key}=OPTION`")
    for entry in entries:
        if entry.record is not None and entry.name != "chunks":  # as those of the job
            yield from _sections(f"{key}.{entry.name}", entry.record)


def _section(title: str, text: str, before: str, entries: Iterable[SettingField]) -> Iterator[str]:
    yield from (f"## {title}", "", text, "", *_table("key", "type", "default", "meaning"))
    for entry in entries:
        yield _row(f"`{before}{entry.name}`", _type(entry), _default(entry), "<br>".join(meaning_lines(entry)))
    yield ""


def _options(group: str, words: str) -> Iterator[str]:
    yield from (f"Options, chosen by {words}:", "", *_table("option", "meaning"))
    for name, text in options(group):
        yield _row(f"`{name}`", text)
    yield ""


def _table(*titles: str) -> tuple[str, str]:
    return _row(*titles), f"|{len(titles) * '---|'}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(entry: SettingField) -> str:
    """The type of a value in words, with its limits."""
    if entry.limits is not None:
        name = entry.limits.wanted.removeprefix("a ")
    elif entry.record is not None:
        name = "section"
    else:
        name = _name(entry.plain)
    return f"{name}, or null" if entry.optional else name


def _name(annotation: Any) -> str:
    if get_origin(annotation) is dict:
        return "names and texts"
    if get_origin(annotation) is list:
        kind = get_args(annotation)[0]
        return f"list of {_name(kind)}{'' if enums_in(kind) else 's'}"
    if enums_in(annotation):
        return ", ".join(f"`{member.name}`" for member in annotation)
    return _NAMES.get(annotation, "number, or null")


def _default(entry: SettingField) -> str:
    value = entry.plain_default
    if value == "???":
        return "-"
    if entry.record is not None and value is not None:
        return ""
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    """A value as one writes it in a file."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _header(path: Path) -> str:
    """The first comment of a config file that is not for Hydra."""
    lines = (line.removeprefix("#").strip() for line in path.read_text("utf-8").splitlines() if line.startswith("#"))
    return next((line for line in lines if not line.startswith("@")), "")


if __name__ == "__main__":
    say_page(reference())
