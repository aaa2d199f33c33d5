"""The files in which settings were written: which file and line a wrong value comes from.

Hydra merges config files one over the other and keeps no record of it, so the loader notes them as it goes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from runner.base.humanize import relative_path
from runner.base.overrides import parse
from runner.config.vocabulary import config_dir, groups, is_section
from runner.errors import ConfigError, printable

_KEY: Final = re.compile(r"(?:\S+\.yaml: )?([\w.]+)(?:\[\d+\])?(?=[=:]|\s|$)")  # with which an error begins
_FILE: Final = re.compile(r"(\S+\.yaml): (?=(?:its defaults \w+ '([^']+)')?)")  # or with the name of a file
_OPTION: Final = re.compile(r"[\w/@.]+=(\S+): no such option")
_PREFIX: Final = re.compile(r"(?:(?:override|optional) +)*/?")  # of a group in a list of defaults
_WHOLE: Final = (None, "", "_global_")  # packages that are the whole job


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A config file, and the dotted key of the settings that it gives values to; it is empty for the whole job."""

    path: Path
    package: str

    def node(self, key: str) -> tuple[int, yaml.Node | None] | None:
        """The line and the value of a dotted key, if the file has it."""
        if key == self.package:
            return 1, self.root()
        inside = f"{self.package}." if self.package else ""
        if not key.startswith(inside):
            return None
        names = key.removeprefix(inside).split(".")
        return _entry(self.root(), names)

    def entries(self) -> Iterator[tuple[str, yaml.Node]]:
        """Dotted key and value of everything in the file, a section before what lies in it."""
        yield from _entries(self.root(), self.package)

    def root(self) -> yaml.Node | None:
        """The whole file; None if it is empty, or was altered since Hydra read it."""
        try:
            return yaml.compose(self.path.read_text("utf-8"), yaml.SafeLoader)
        except (OSError, ValueError, yaml.YAMLError):
            return None


def shown(path: Path) -> str:
    """A path as people would type it."""
    return printable(relative_path(path))


@dataclass(slots=True)
class Origins:
    """The files of one composition, in the order in which they were merged, and the overrides that came after them.

    Files are read for their lists of defaults first, and merged once all of them are known.
    """

    overrides: tuple[str, ...] = ()
    files: list[ConfigFile] = field(default_factory=list)
    read: list[Path] = field(default_factory=list)

    def begin(self, overrides: Iterable[str]) -> None:
        """Forget the composition before this one."""
        self.overrides = tuple(overrides)
        self.files.clear()
        self.read.clear()

    def overridden(self, key: str) -> bool:
        """True if an override gives a value to just this key."""
        return key in _keys_of(self.overrides)

    def place(self, key: str) -> str | None:
        """`FILE:LINE` of the value of a key, or of the section that lacks it; None if no file of the user's has it."""
        if any(key == name or key.startswith(f"{name}.") for name in _keys_of(self.overrides)):
            return None
        parent = key.rpartition(".")[0]
        return self._place(key) or (self._place(parent) if parent else None)

    def _place(self, key: str) -> str | None:
        for file in reversed(self.files):
            found = file.node(key)
            if found is not None:
                ours = file.path.is_relative_to(config_dir())
                return None if ours else f"{shown(file.path)}:{found[0]}"
        return None


ORIGINS: Final = Origins()  # of the composition that this process has begun last


def note_read(folder: str, name: str) -> None:
    """Remember a file that Hydra reads; `folder` is what Hydra calls its place, such as file:///PATH."""
    ORIGINS.read.extend(_path(folder, name))


def note_merged(folder: str, name: str, package: Any) -> None:
    """Remember a file that Hydra merges next, into the settings of a package."""
    ORIGINS.files.extend(ConfigFile(path, "" if package in _WHOLE else str(package)) for path in _path(folder, name))


def _path(folder: str, name: str) -> list[Path]:
    scheme, _, path = folder.partition("://")
    return [Path(path, f"{name.removesuffix('.yaml')}.yaml")] if scheme == "file" else []


def located(error: ConfigError) -> ConfigError:
    """The error with the file and line of the key that it begins with, if the value came from a file of the user's."""
    found = _KEY.match(str(error))
    place = ORIGINS.place(found[1]) if found else None
    if found is None or place is None:
        return _with_path(error)
    return ConfigError(f"{place}: {str(error)[found.start(1) :]}")


def _with_path(error: ConfigError) -> ConfigError:
    """The error with the path of the file that it is about as a whole, or the place in the list of defaults."""
    whole = _FILE.match(str(error))
    option = _OPTION.match(str(error))
    if whole:
        files = [path for path in ORIGINS.read if str(path).endswith(f"/{whole[1]}")]
        problem, word = str(error)[whole.end() :], whole[2]
    elif option and not any(override.endswith(f"={option[1]}") for override in ORIGINS.overrides):
        files, problem, word = _users(ORIGINS.read), str(error), option[1]
    else:
        return error
    places = [(path, _line_in_defaults(path, word)) for path in reversed(files)]
    found = [(path, line) for path, line in places if line or whole]
    return ConfigError(f"{shown(found[0][0])}:{found[0][1] or 1}: {problem}") if found else error


def _users(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if not path.is_relative_to(config_dir())]


def _line_in_defaults(path: Path, word: str | None) -> int:
    """The line of a group or an option in a file's list of defaults; 0 if it does not have it."""
    defaults = _entry(ConfigFile(path, "").root(), ["defaults"])
    nodes = _scalars(defaults[1]) if defaults and word else ()
    return next((_line(node) for node in nodes if _PREFIX.sub("", str(node.value)) == word), 0)


def unreadable(error: yaml.MarkedYAMLError) -> ConfigError:
    """The error about a file that is not YAML, with its line."""
    mark = error.problem_mark or error.context_mark
    problem = "a tab; YAML is indented by spaces" if "'\\t'" in str(error.problem) else error.problem
    return ConfigError(f"{shown(Path(mark.name))}:{mark.line + 1}: {problem}")


def misplaced_value() -> ConfigError | None:
    """The first value that stands where a section of keys belongs, in the file that was merged last."""
    file = ORIGINS.files[-1]
    if not isinstance(file.root(), yaml.MappingNode):
        return ConfigError(f"{shown(file.path)}:1: wanted keys and values, as in `limit: 3`")
    for key, node in file.entries():
        got = str(node.value) if isinstance(node, yaml.ScalarNode) else "[...]"
        if is_section(key) and not isinstance(node, yaml.MappingNode) and got not in ("", "null", "~"):
            problem = f"{key}={got}: wanted a section of keys{_choice(key, got)}"
            return ConfigError(f"{shown(file.path)}:{_line(node)}: {problem}")
    return None


def _choice(key: str, value: str) -> str:
    """The hint on choosing an option of a group in a file."""
    package, _, group = key.rpartition(".")
    if group not in groups():
        return ""
    name = f"{group}@{key}" if package else group
    return f"; an option is chosen in the list of defaults: `- override /{name}: {value}`"


def _keys_of(overrides: Iterable[str]) -> Iterator[str]:
    """The settings that overrides give a value; the choice of a group alone gives a value to none."""
    for override in map(parse, overrides):
        if not re.search("[@/]", override.key) and (override.key not in groups() or override.text.startswith("{")):
            yield override.key


def _entry(node: yaml.Node | None, names: list[str]) -> tuple[int, yaml.Node] | None:
    """The line and the value below these names; names with dots in between count as one name too."""
    if not isinstance(node, yaml.MappingNode):
        return None
    for entry, value in node.value:
        if entry.value == ".".join(names):
            return _line(entry), value
        found = _entry(value, names[1:]) if entry.value == names[0] else None
        if found is not None:
            return found
    return None


def _entries(node: yaml.Node | None, at: str) -> Iterator[tuple[str, yaml.Node]]:
    if at and node is not None:
        yield at, node
    for entry, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield from _entries(value, f"{at}.{entry.value}" if at else str(entry.value))


def _scalars(node: yaml.Node) -> Iterator[yaml.Node]:
    """Every text, in lists and of keys too."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    for one in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in one if isinstance(one, tuple) else (one,):
            yield from _scalars(part)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
