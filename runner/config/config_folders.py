"""The config folders of a job, and the files in them: folders only, no Python package, no file outside of them."""

from collections.abc import Iterable
from copy import copy
from pathlib import PurePath
from typing import Final

from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult, ConfigSource

from runner.base.redact import names_a_secret, redact
from runner.config.messages import no_secret
from runner.config.origins import note_read
from runner.errors import ConfigError, printable

_GIVEN: Final = "hydra.searchpath"  # the start of what Hydra calls a path's provider
_SCHEMA: Final = "schema"  # of Hydra's own
_CONFIG_DIR: Final = "command-line"


class JobConfigRepository(CachingConfigRepository):
    """Loads configs as Hydra does, after a check of each search path and of each file's name."""

    def __init__(self, delegate: IConfigRepository) -> None:
        # Hydra copies all that the sources hold, to be free to replace them: `initialize_sources` makes a list anew.
        self.delegate = copy(delegate)
        self.cache = {}
        self._alone: set[str] = set()  # names that one config folder alone gives

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Raises ConfigError for a search path of a config that is not a folder; Hydra would import it."""
        for one in config_search_path.get_path():
            if str(one.provider).startswith(_GIVEN) and one.provider != _SCHEMA:
                _refuse_no_folder(str(one.path))
        self._alone.clear()
        super().initialize_sources(config_search_path)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Raises ConfigError for a name that leads out of the config folders, or that two of them give."""
        _refuse_outside(config_path)
        if config_path not in self._alone:  # Hydra asks for a file again and again
            _refuse_twins(config_path, self.get_sources())
            self._alone.add(config_path)
        loaded = super().load_config(config_path)
        if loaded is not None:
            note_read(str(loaded.path), config_path)
        return loaded

    def config_exists(self, config_path: str) -> bool:
        """Raises ConfigError as `load_config` does."""
        _refuse_outside(config_path)
        return super().config_exists(config_path)

    def group_exists(self, config_path: str) -> bool:
        """Raises ConfigError as `load_config` does."""
        _refuse_outside(config_path)
        return super().group_exists(config_path)


def _refuse_no_folder(path: str) -> None:
    if names_a_secret(path) or redact(path) != path:
        raise no_secret(_GIVEN)
    scheme, mark, _ = path.partition("://")
    if mark and scheme != "file":
        raise ConfigError(f"{_GIVEN}={printable(path)}: wanted folders, as a path or file://PATH; not a Python package")


def _refuse_outside(name: str) -> None:
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(
            f"{printable(name)}: an option is a file of a config folder and cannot lie outside of it; name the folder "
            "by --config-dir"
        )


def _refuse_twins(name: str, sources: Iterable[ConfigSource]) -> None:
    """Hydra takes the first file of a name, and passes over the others in silence; a copy loses nothing by that."""
    holders = [one for one in sources if one.is_config(name)]
    theirs = [one for one in holders if one.provider == _CONFIG_DIR or str(one.provider).startswith(_GIVEN)]
    if not theirs or all(one.load_config(name).config == holders[0].load_config(name).config for one in holders[1:]):
        return
    file = printable(f"{theirs[-1].path}/{name}.yaml")
    raise ConfigError(
        f"{file}: another config folder has a '{name}' too, and only one of them would be read; give yours another "
        f"name (it may begin with `defaults: [{PurePath(name).stem}, _self_]`)"
    )
