"""The config folders of a job, and the files in them: folders only, no Python package, no file outside of them."""

from pathlib import PurePath
from typing import Final

from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult

from runner.errors import ConfigError, printable
from runner.log.redact import names_a_secret, redact
from runner.messages import no_secret
from runner.origins import note_read

_GIVEN: Final = "hydra.searchpath"  # the start of what Hydra calls a path's provider
_SCHEMA: Final = "schema"  # of Hydra's own


class JobConfigRepository(CachingConfigRepository):
    """Loads configs as Hydra does, after a check of each search path and of each file's name."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Raises ConfigError for a search path of a config that is not a folder; Hydra would import it."""
        for one in config_search_path.get_path():
            if str(one.provider).startswith(_GIVEN) and one.provider != _SCHEMA:
                _refuse_no_folder(str(one.path))
        super().initialize_sources(config_search_path)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Raises ConfigError for a name that leads out of the config folders."""
        _refuse_outside(config_path)
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
