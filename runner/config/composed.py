"""A job composed and checked, as `runner.start` takes it: from Hydra's command line, or from overrides in Python."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from hydra import compose, initialize_config_dir
from hydra import version as hydra_version
from hydra._internal import defaults_list
from hydra._internal import hydra as application
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from runner.base.atomic import free_folder
from runner.base.command import COMMAND
from runner.base.overrides import config_flags, key_of
from runner.config import job_config
from runner.config.arguments import flags_and_overrides
from runner.config.messages import REFUSALS, explain
from runner.config.overrides import refuse_overrides
from runner.config.replay import written_config
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError
from runner.settings import JobSettings

_FOLDERS: Final = ("--config-dir", "-cd")


@dataclass(frozen=True, slots=True)
class ComposedJob:
    """A checked job, its config as `resolved` and as it is `written`, and the words that ask for the same again."""

    job: JobSettings
    resolved: dict[str, Any]
    written: dict[str, Any]  # interpolations as they are
    command: tuple[str, ...]
    overrides: tuple[str, ...]


def composed_job(tree: DictConfig, overrides: Sequence[str], command: Sequence[str]) -> ComposedJob:
    """Check a tree that Hydra has composed; HydraConfig is set. `overrides` are as typed. Raises ConfigError."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        _upload_apart(tree, Path(hydra_config.runtime.output_dir).name)
    job = job_config.read_job(tree, dict(hydra_config.runtime.choices))
    words = job_config.overrides_of_job(hydra_config, overrides)
    for word in words:
        if key_of(word).startswith("sweep."):
            raise ConfigError(f"{word}: this is a single job; give -m and hydra/launcher=isolated for a sweep")
    return ComposedJob(job, job_config.resolved(tree), written_config(tree), tuple(command), tuple(words))


def _upload_apart(tree: DictConfig, name: str) -> None:
    """Let one of many jobs upload below the address of all of them, as its folder lies below that of all."""
    prefix = OmegaConf.select(tree, "output.upload")
    if prefix:
        with read_write(tree):
            tree.output.upload = address_below(str(prefix), name)


def address_below(prefix: str, name: str) -> str:
    """An address of one job's own, below that of all jobs of a sweep."""
    return f"{prefix.rstrip('/')}/{name}"


def refuse_undecoded(words: Sequence[str]) -> None:
    """Raise ConfigError for bytes that are not text here: nothing could be named or written by them."""
    for word in words:
        if not word.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ConfigError(
                f"{word!a}: not text in this locale's encoding, {sys.getfilesystemencoding()}; set "
                "PYTHONUTF8=1 if it is UTF-8, or name the file by a pattern"
            )


def compose_job(words: Sequence[str]) -> ComposedJob:
    """The job of the words of a command line: overrides, and `--config-dir FOLDER`. Raises ConfigError.

    Hydra's global state is the caller's again afterwards. Unless `output.dir` says otherwise, the folder is a new one
    below outputs/.
    """
    refuse_undecoded(words)
    flags, overrides = flags_and_overrides(words)
    refuse_overrides(overrides)
    with _borrowed_hydra():
        try:
            tree = _composed([*overrides, *_searched(flags)])
            return composed_job(tree, overrides, [COMMAND, *config_flags(flags), *overrides])
        except REFUSALS as error:
            raise explain(error) from error


def _composed(words: Sequence[str]) -> DictConfig:
    """The tree, with Hydra's own section in HydraConfig."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = compose("config", list(words), return_hydra_config=True)
    if tree.hydra.mode is RunMode.MULTIRUN:
        raise ConfigError(f"this is a sweep of many jobs, which the command line alone runs: {COMMAND} -m ...")
    HydraConfig.instance().set_config(tree)  # for ${hydra:...} in the name of the folder
    folder = free_folder(Path(str(tree.hydra.run.dir)).absolute())
    with read_write(tree), open_dict(tree), read_write(tree.hydra.runtime):
        tree.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(tree)
        del tree["hydra"]
    return tree


def _searched(flags: Sequence[str]) -> list[str]:
    """The override by which Hydra finds a config folder of the user's. Raises ConfigError for any other flag."""
    folders = [value for flag, value in pairwise(flags) if flag in _FOLDERS]
    if len(flags) > 2 * len(folders):
        raise ConfigError(f"{flags[0]}: flags are the command line's; wanted KEY=VALUE, or --config-dir and a folder")
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder}: there is no such folder")
    paths = ",".join(f"file://{Path(folder).absolute()}" for folder in folders)
    return [f"hydra.searchpath=[{paths}]"] if folders else []


@contextmanager
def _borrowed_hydra() -> Iterator[None]:
    """Let Hydra compose our jobs, and leave it as it was: the caller may be an application of Hydra itself."""
    parts, entries, types = vars(application), vars(defaults_list), SourcesRegistry.instance().types
    store, version = ConfigStore.instance().repo, hydra_version.VersionBase.instance()
    loader, schema = parts["ConfigLoaderImpl"], store.get("settings.yaml")
    choices = entries["_create_interpolation_map"]
    source = types.get("file", FileConfigSource)  # Hydra puts it there once, and finds ours in its place
    base, config, hydra = version.version_base, HydraConfig.instance().cfg, GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    job_config.register_settings()
    try:
        yield
    finally:
        parts["ConfigLoaderImpl"], entries["_create_interpolation_map"] = loader, choices
        version.version_base, HydraConfig.instance().cfg, GlobalHydra.instance().hydra = base, config, hydra
        types["file"] = source
        if schema is None:
            store.pop("settings.yaml", None)
        else:
            store["settings.yaml"] = schema
