"""The section `hydra` of a config, checked once it is composed and before Hydra acts on any of it.

Hydra imports and calls what `_target_` names, and so do logging configs by `class`, `()` and `ext://`; it sets
environment variables, and writes configs as they are, secrets too. A config folder may be somebody else's, so that only
what is listed here is let through.
"""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.overrides import key_of
from runner.base.redact import names_a_secret
from runner.base.tree import leaves
from runner.config.messages import no_secret
from runner.errors import ConfigError

_OURS: Final = "hydra_plugins.cog_stack_runner"
_CORE: Final = "hydra._internal.core_plugins"
_SUBMITIT: Final = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
_TARGETS: Final[Mapping[str, frozenset[object]]] = {
    "hydra.launcher._target_": frozenset(
        {f"{_OURS}.IsolatedLauncher", f"{_CORE}.basic_launcher.BasicLauncher",
         f"{_SUBMITIT}.LocalLauncher", f"{_SUBMITIT}.SlurmLauncher"}
    ),
    "hydra.sweeper._target_": frozenset({f"{_OURS}.TuningSweeper", f"{_CORE}.basic_sweeper.BasicSweeper"}),
}  # fmt: skip
_LOGGING: Final[Mapping[str, frozenset[object]]] = {
    "()": frozenset({"runner.base.redact.RedactingFormatter", "colorlog.ColoredFormatter"}),
    "class": frozenset({"logging.StreamHandler", "logging.NullHandler"}),
    "stream": frozenset({"ext://sys.stdout", "ext://sys.stderr"}),
    "style": frozenset({"%", "$"}),
}
_SHELL: Final = ("setup", "python", "srun_args", "additional_parameters")  # of a launcher: lines of a job's script
_ALONE: Final = re.compile(r"\$\{.*\}", re.DOTALL)  # what may stand for a node, and not for a text alone


def check_hydra(tree: DictConfig) -> None:
    """Raise ConfigError for what would run code, change this process, or write secrets down."""
    node = OmegaConf.to_container(OmegaConf.select(tree, "hydra"))
    if not isinstance(node, dict):
        raise ConfigError("hydra: wanted settings, got an interpolation")
    plain = {str(key): value for key, value in node.items()}
    for part in ("job_logging", "hydra_logging"):
        _check_logging(f"hydra.{part}", plain.get(part))
    for part in ("launcher", "sweeper"):
        _check_plugin(tree, f"hydra.{part}", plain.get(part))
    for key, value in leaves(plain, "hydra", of_lists=True):
        name = key.rpartition(".")[2]
        if name.startswith("_") and name.endswith("_") and value not in _TARGETS.get(key, ()):
            raise ConfigError(f"{key}={value}: a config names no Python but the launchers and sweepers that are known")
    _check_job(plain, plain["overrides"]["hydra"])
    _check_folders(plain)


def _check_logging(key: str, node: object) -> None:
    """Streams and formats only. Files are refused too: run.log has every line, without its secrets."""
    if isinstance(node, str):
        raise ConfigError(f"{key}: wanted settings, got an interpolation")
    for path, value in leaves(node, key, of_lists=True):
        name = path.rpartition(".")[2]
        allowed = _LOGGING.get(name)
        if allowed is not None and value not in allowed:
            wanted = " or ".join(sorted(map(str, allowed)))
            raise ConfigError(f"{path}={value}: logging may use {wanted}; the run writes run.log itself")
        if allowed is None and isinstance(value, str) and re.search(r"\$\{|ext://|cfg://", value):
            raise ConfigError(f"{path}={value}: a logging config holds plain values only")


def _check_plugin(tree: DictConfig, key: str, node: object) -> None:
    """Refuse an interpolation that may stand for settings which are not seen here."""
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"{key}: wanted settings, got {node}")
    for path, value in leaves(node, key, of_lists=True):
        if isinstance(value, str) and _ALONE.fullmatch(value) and not _stands_for_a_value(tree, path):
            raise ConfigError(f"{path}={value}: write the value out, or an interpolation that has one")


def _stands_for_a_value(tree: DictConfig, key: str) -> bool:
    try:
        return not OmegaConf.is_config(OmegaConf.select(tree, key))
    except OmegaConfBaseException:
        return False


def _check_job(plain: Mapping[str, Any], typed: list[str]) -> None:
    job = plain.get("job") or {}
    for name in ("env_set", "env_copy"):
        if job.get(name):
            raise ConfigError(f"hydra.job.{name}: variables are set in the shell, before the command: NAME=VALUE ...")
    if job.get("chdir"):
        raise ConfigError("hydra.job.chdir: a run stays in its folder, from which paths are read")
    if plain.get("output_subdir") is not None:
        raise ConfigError("hydra.output_subdir: wanted null; the run writes .hydra/ itself, without secrets")
    if plain.get("callbacks"):
        raise ConfigError(f"hydra.callbacks.{next(iter(plain['callbacks']))}: a config names no Python")
    for name in _SHELL:
        key = f"hydra.launcher.{name}"
        if (plain.get("launcher") or {}).get(name) and key not in map(key_of, typed):
            raise ConfigError(f"{key}: a shell runs that, so that it counts on the command line only: {key}=...")


def _check_folders(plain: Mapping[str, Any]) -> None:
    for at in ("run.dir", "sweep.dir", "sweep.subdir", "job.name"):
        part, _, name = at.partition(".")
        value = str((plain.get(part) or {}).get(name) or "")
        if names_a_secret(value):
            raise no_secret(f"hydra.{at}")
        if at == "sweep.subdir" and (PurePath(value).is_absolute() or ".." in PurePath(value).parts):
            raise ConfigError(f"hydra.{at}={value}: wanted a folder inside of hydra.sweep.dir")
