"""The loader by which Hydra composes a job: overrides as people type them, and a check before Hydra acts on it."""

import re
from contextlib import suppress
from typing import Any, Final

from hydra._internal import defaults_list
from hydra._internal import hydra as application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from runner.base.redact import redact
from runner.config.bounded_yaml import bound_yaml
from runner.config.config_folders import JobConfigRepository
from runner.config.hydra_node import check_hydra
from runner.config.interpolations import check_interpolations, interpolated_keys
from runner.config.messages import explain, no_secret
from runner.config.origins import ORIGINS, located, misplaced_value, note_merged, unreadable
from runner.config.overrides import as_hydra_reads, for_each_stage, is_shared, without_escapes
from runner.errors import ConfigError
from runner.settings import JobSettings

_MODE_OF_A_RUN: Final = "hydra.mode=RUN"  # which Hydra adds
_CHOICES: Final = defaults_list._create_interpolation_map  # noqa: SLF001 - there is no other door to it


class JobLoader(ConfigLoaderImpl):
    """Composes as Hydra does, for a run, a multirun and each of its jobs, and for what Hydra shows of a config.

    Hydra composes a job twice: first as a multirun, to learn which of the two it is. A run is composed as such for that
    question here, and kept as the answer to the next.
    """

    _kept: tuple[tuple[str, ...], DictConfig] | None = None  # overrides and tree of the run

    def load_configuration(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:  # fmt: skip
        """The composed tree, checked. Raises ConfigError for what may not be in it."""
        kept, self._kept = self._kept, None
        if run_mode is RunMode.MULTIRUN and not validate_sweep_overrides:
            with suppress(HydraException, OmegaConfBaseException, ConfigError):  # of a multirun, or raised again
                tree = self.load_configuration(config_name, overrides, RunMode.RUN, from_shell)
                self._kept = tuple(overrides), tree
                return tree
        if run_mode is RunMode.RUN and kept is not None and tuple(overrides) in (kept[0], (*kept[0], _MODE_OF_A_RUN)):
            return _as_run(kept[1])
        try:
            return self._checked(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        except MarkedYAMLError as error:
            raise unreadable(error) from error
        except ConfigError as error:
            raise located(error) from error.__cause__
        except HydraException as error:
            problem = explain(error)
            placed = _placed(problem, str(error))
            if placed is problem:
                raise
            raise placed from error

    def _checked(self, config_name: str | None, overrides: list[str], run_mode: RunMode, *more: bool) -> DictConfig:
        name = config_name or "config"  # --hydra-help names none, and still follows its logging
        multirun = run_mode is RunMode.MULTIRUN
        words = as_hydra_reads(overrides, multirun=multirun)
        shared = [word for word in words if is_shared(word)]

        def composed(words: list[str]) -> DictConfig:
            ORIGINS.begin(words)
            return super(JobLoader, self).load_configuration(name, words, run_mode, *more)

        tree = composed([word for word in words if word not in shared])
        if multirun:  # each job says for itself what all its stages have
            tree.hydra.overrides.task.extend(shared)
        elif shared:
            tree = composed(for_each_stage(words, map(str, tree.get("stages") or ()), tree.hydra.runtime.choices))
        _check(tree, name)
        return tree

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The tree of one job of a multirun, whose overrides come from a sweeper. Raises ConfigError as above."""
        return super().load_sweep_config(master_config, list(map(without_escapes, sweep_overrides)))

    def compute_defaults_list(self, config_name: str | None, overrides: list[str], run_mode: RunMode) -> Any:
        """The list that Hydra shows under --info."""
        words = [word for word in as_hydra_reads(overrides) if not is_shared(word)]
        return super().compute_defaults_list(config_name, words, run_mode)

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        """Load a file as Hydra does, and note where its values go."""
        loaded = super()._load_single_config(default, repo)
        package = loaded.header["package"] if default.package is None else default.package
        note_merged(str(loaded.path), str(default.config_path), package)
        return loaded

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], JobConfigRepository]:
        """Prepare as Hydra does, with a repository that checks what it is asked for."""
        parsed = OverridesParser.create().parse_overrides(overrides=overrides)
        repository = JobConfigRepository(self.repository)
        self._process_config_searchpath(config_name, parsed, repository)
        return parsed, repository


def _as_run(tree: DictConfig) -> DictConfig:
    """The tree as Hydra composes it once it has decided for a run."""
    if tree.hydra.mode is None:
        tree.hydra.mode = RunMode.RUN
        tree.hydra.overrides.hydra.append(_MODE_OF_A_RUN)
    return tree


def use_job_loader() -> None:
    """Let Hydra compose so in this process."""
    vars(application)["ConfigLoaderImpl"] = JobLoader  # there is no setting for it
    vars(defaults_list)["_create_interpolation_map"] = _choices_asked_for
    bound_yaml()


def _choices_asked_for(overrides: Any, entries: list[InputDefault], self_added: bool) -> DictConfig | None:
    """The choices that entries such as `group: ${other}` ask for. Hydra makes them for each file, asked or not.

    That is a sixth of a composition.
    """
    asked = any(entry.is_interpolation() for entry in entries)
    return _CHOICES(overrides, entries, self_added) if asked else None


def _placed(problem: ConfigError, text: str) -> ConfigError:
    """The error with the file and line that it comes from, if that is a file of the user's; `text` is Hydra's."""
    if "raised while composing config" not in text or not ORIGINS.files:
        return located(problem)
    ORIGINS.overrides = ()  # none of them is applied yet
    misplaced = misplaced_value() if re.search("is not a subclass of|Cannot merge DictConfig", text) else None
    return misplaced or located(problem)


def _check(tree: DictConfig, config_name: str) -> None:
    if OmegaConf.get_type(tree) is not JobSettings:
        raise ConfigError(
            f"--config-name {config_name}: that is not a whole job; let it begin with `defaults: [config, _self_]`, or "
            f"make it an experiment: experiment/{config_name}.yaml, `# @package _global_` on its first line"
        )
    check_hydra(tree)
    plain = OmegaConf.to_container(tree)
    assert isinstance(plain, dict)
    values = {str(key): value for key, value in plain.items()}
    check_interpolations(values)
    for key in interpolated_keys(values):
        if _resolves_to_a_secret(tree, key):
            raise no_secret(key)


def _resolves_to_a_secret(tree: DictConfig, key: str) -> bool:
    """Tell if a secret of the environment stands in the value, however its interpolation asks for it."""
    try:
        value = OmegaConf.select(tree, key)
        text = str(OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value)
    except OmegaConfBaseException:  # said where it is used
        return False
    return redact(text) != text
