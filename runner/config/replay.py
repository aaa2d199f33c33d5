"""The job that an earlier run left in its folder, composed again, with overrides where they are given.

The stored config is the base, whatever the files in conf/ say today; an option of a config group is taken from there as
it is now, and replaces what is stored in its place.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from textwrap import indent
from typing import Any, Final

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.atomic import write_text
from runner.base.command import command
from runner.base.redact import BLANK, redact_tree
from runner.base.tree import flat, leaves
from runner.config import job_config
from runner.config.bounded_yaml import load_yaml
from runner.config.messages import REFUSALS, explain
from runner.config.overrides import as_hydra_reads, for_each_stage, refuse_overrides
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError
from runner.settings import JobSettings

_MANY: Final = 1000  # texts of values; a config has a hundred
_NAME = "stored_run"
_CHOOSES = ("source.url", "source.exclude")  # which scenes; of no use where these are the recorded ones


@dataclass(frozen=True, slots=True)
class Recomposed:
    """A checked job, and the tree that it was read from."""

    job: JobSettings
    tree: DictConfig


def recompose(
    stored: Mapping[str, Any], yaml: Path, overrides: Sequence[str], folder: Path, *, scenes_found: bool
) -> Recomposed:
    """The job of a run.json's resolved config, changed by `overrides` as on the command line, to be run in `folder`.

    What was blanked out in it, as a secret's value, is composed anew from the `.hydra/config.yaml` of the same run;
    with `scenes_found`, what only chooses scenes may stay blank. Raises ConfigError for an override that cannot be, a
    value that is lost, or a setting that this version does not have.
    """
    refuse_overrides(overrides)
    job_config.register_settings()
    tree = _with_blanks_filled(stored, yaml)
    if isinstance(tree.get("mask"), str):  # as earlier versions recorded it
        tree["mask"] = {"own": tree["mask"]}
    _refuse_others(tree)
    tree["output"] = {**tree.get("output", {}), "dir": str(folder)}
    choices: dict[str, Any] = {}
    try:
        words = list(_translated(tree, overrides, choices))
        defaults = [
            "settings",
            "_self_",
            *({f"override hydra/{name}": "none"} for name in ("job_logging", "hydra_logging")),
        ]
        ConfigStore.instance().store(_NAME, {**tree, "defaults": defaults, "hydra": {"output_subdir": None}})
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            composed = compose(_NAME, words)
        _refuse_blanks(composed, _CHOOSES if scenes_found else ())
    except REFUSALS as error:
        raise ConfigError(str(explain(error)).replace(f"{_NAME}.yaml: ", "the recorded config: ")) from error
    return Recomposed(job_config.read_job(composed, choices), composed)


def reusing(recomposed: Recomposed, job: JobSettings) -> Recomposed:
    """The same with the path of the run that the job reuses."""
    OmegaConf.update(recomposed.tree, "reuse", job.reuse)
    return Recomposed(job, recomposed.tree)


def composed_anew(overrides: Sequence[str]) -> JobSettings:
    """The default job with these overrides, for what needs settings and runs nothing. Raises ConfigError."""
    job_config.register_settings()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return job_config.read_job(compose("config", [*overrides, "output.dir=."]), {})
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error


def _refuse_others(tree: Mapping[str, Any]) -> None:
    """No key but a job's: what is Hydra's own would be followed, and what names Python could be."""
    python = next((key for key in flat(tree) if re.search(r"(^|\.)_[^.]*_(\.|$)", key)), None)
    if python:
        raise ConfigError(f"{python}: a config holds values only and names no Python; the recorded config was altered")
    unknown = [key for key in tree if key not in {entry.name for entry in fields(JobSettings)}]
    if unknown:
        raise ConfigError(
            f"{unknown[0]}: there is no such setting; the recorded config was altered, or is of another version"
        )


def _translated(tree: dict[str, Any], overrides: Sequence[str], choices: dict[str, Any]) -> Iterator[str]:
    """The overrides in a form that suits a config without a defaults list; what an option replaces leaves `tree`."""
    stages = [str(name) for name in tree.get("stages") or ()]
    packages = [f"cluster@stages.{stage}.cluster" for stage in stages]
    words = for_each_stage(as_hydra_reads(overrides), stages, packages)
    for override in OverridesParser.create().parse_overrides(words):
        key, line = override.key_or_group, str(override.input_line)
        if key.partition(".")[0] == "hydra":
            raise ConfigError(f"{line}: Hydra's own settings are not a run's; set output.dir for the folder")
        if key == "experiment":
            raise ConfigError(f"{line}: an experiment is a job of its own; run it by {command()} {line}")
        if override.is_sweep_override():
            raise ConfigError(f"{line}: a run is done again one at a time; give one value")
        if not (config_dir() / key).is_dir():
            yield line
            continue
        package, option = override.package or key, override.value()
        choices[key] = option
        if override.is_delete():
            yield f"~{package}"
        else:
            _drop(tree, package.split("."))
            yield f"+{key}@{package}={option}"


def _drop(tree: dict[str, Any], path: Sequence[str]) -> None:
    above = _node(tree, path[:-1])
    if isinstance(above, dict):
        above.pop(path[-1], None)


# --- blanks -----------------------------------------------------------------------------------------------------------


def _with_blanks_filled(stored: Mapping[str, Any], yaml: Path) -> dict[str, Any]:
    tree: dict[str, Any] = deepcopy(dict(stored))
    blanks = blanked(tree)
    if blanks and yaml.is_file():
        unresolved = load_yaml(yaml)
        for key in blanks:
            *above, last = key.split(".")
            node = _node(unresolved, above)
            if isinstance(node, dict) and last in node:
                _node(tree, above)[last] = node[last]
    return tree


def blanked(stored: Mapping[str, Any]) -> set[str]:
    """The dotted keys of a run.json's config whose values are lost, at least in part."""
    return {key for key, value in leaves(stored) if BLANK in str(value)}


def _node(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _refuse_blanks(composed: DictConfig, needless: Sequence[str]) -> None:
    plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=False, enum_to_str=True)
    assert isinstance(plain, dict)
    for key in sorted(blanked({str(key): value for key, value in plain.items()})):
        if key not in needless:
            raise ConfigError(
                f"{key}: a secret was blanked out in it when the run was recorded; give it again: -- {key}=..."
            )


def keep_config(folder: Path, tree: DictConfig, overrides: list[str]) -> None:
    """Write the files that Hydra itself would leave in .hydra/, without secrets."""
    keep_plain_config(folder, written_config(tree), overrides)


def written_config(tree: DictConfig) -> dict[str, Any]:
    """The config of a job as it is written, its interpolations as they are."""
    plain = OmegaConf.to_container(tree, enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "sweep"}  # no setting of the job


def keep_plain_config(folder: Path, plain: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Write these files of a config as it is in them. The text of values that many configs share is made once."""
    kept = folder / ".hydra"
    kept.mkdir(exist_ok=True)
    write_text(kept / "config.yaml", "".join(_yaml_lines(redact_tree(plain))))
    write_text(kept / "overrides.yaml", "".join(_yaml_text(json.dumps([word])) for word in overrides) or "[]\n")


def _yaml_lines(plain: Mapping[str, Any], *, sections: bool = True) -> Iterator[str]:
    """The lines of each key, those of a section indented."""
    for key, value in plain.items():
        if sections and isinstance(value, dict) and value:
            yield f"{key}:\n{indent(''.join(_yaml_lines(value, sections=False)), '  ')}"
        else:
            yield _yaml_text(json.dumps({key: value}))


@lru_cache(_MANY)
def _yaml_text(plain: str) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(json.loads(plain)))
