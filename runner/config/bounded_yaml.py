"""YAML of others: anchors must not stand for more than a config can need, nor bare times for numbers."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.humanize import one_line
from runner.errors import ConfigError

_MOST_COPIES: Final = 10_000  # values that aliases may add to those that are written
# `walltime: 1:30:00` is the number 5400 in YAML 1.1, which no queue reads as an hour and a half.
_TIME: Final = re.compile(r"^[^#\n]*?\b(\w+):[ \t]+([1-9]\d*(?::[0-5]?\d)+)[ \t]*(?=[,}\n#]|\Z)", re.MULTILINE)

# The configs of this process by provider and file, each with the text it was read from: the jobs of a sweep, and every
# composition of one job, have the same files.
_READ: Final[dict[tuple[str, Path], tuple[str, ConfigResult]]] = {}


def load_yaml(file: Path) -> Any:
    """A file's values, interpolations as they are. Raises ConfigError in one line for what cannot be read."""
    try:
        refuse_expansion(file.read_text("utf-8"), str(file))
        return OmegaConf.to_container(OmegaConf.load(file))
    except (OmegaConfBaseException, yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: cannot be read: {one_line(error)}; it was altered") from error


def refuse_expansion(text: str, where: str) -> None:
    """Refuse anchors of anchors, which a few lines can make stand for billions of values. Raises ConfigError.

    Text that is not YAML is left to its reader.
    """
    if "&" not in text or "*" not in text:
        return
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return
    sizes: dict[int, float] = {}
    if root is not None and _size(root, sizes) - len(sizes) > _MOST_COPIES:
        raise ConfigError(f"{where}: its anchors (&name, *name) stand for over {_MOST_COPIES} values; write them out")


def refuse_bare_time(text: str, where: str) -> None:
    """Refuse a time without quotes, which YAML reads as a number. Raises ConfigError."""
    if found := _TIME.search(text):
        line = text.count("\n", 0, found.start(1)) + 1
        raise ConfigError(
            f"{where}:{line}: {found[1]}: {found[2]} is a number in YAML; write it in quotes, '{found[2]}'"
        )


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """The values that a node stands for once its aliases are written out; without end if it holds itself."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = float("inf")
    below = node.value if isinstance(node, yaml.CollectionNode) else ()
    parts = (part for one in below for part in (one if isinstance(one, tuple) else (one,)))
    sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    return sizes[id(node)]


class FileConfigSource(file_config_source.FileConfigSource):
    """Config files as Hydra reads them, once their text is checked; it must have the name of what it replaces.

    A file is parsed once in a process, until its text changes.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Raises ConfigError for a file that is refused, or nested too deeply."""
        file = Path(self.path, self._normalize_file_name(config_path))
        try:
            if not file.is_file():
                return super().load_config(config_path)
            text = file.read_text("utf-8")
            known, config = _READ.get((self.provider, file), (None, None))
            if config is None or known != text:
                refuse_expansion(text, str(file))
                refuse_bare_time(text, str(file))
                config = super().load_config(config_path)
                _READ[self.provider, file] = text, config
            return deepcopy(config)  # what it is merged into may take its nodes
        except RecursionError as error:
            raise ConfigError(f"{file}: is nested too deeply to be a config") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: is not a text in UTF-8 ({error.reason} at byte {error.start})") from error


def bound_yaml() -> None:
    """Let Hydra read config files so."""
    SourcesRegistry.instance().types["file"] = FileConfigSource
