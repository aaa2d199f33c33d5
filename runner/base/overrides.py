"""Overrides as text: taken apart, written for Hydra's grammar, and pasted into a shell."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from runner.base.command import COMMAND

DROPPED: Final = "dropped"  # in place of a value, for a key that an override leaves out
_MARKS: Final = "+~"
_CONFIG_FLAGS: Final = frozenset({"--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"})


@dataclass(frozen=True, slots=True)
class Override:
    """An override such as `+source.limit=3` or `~gdal`: how it changes a key, the key, and the text behind the `=`."""

    mark: str  # "", "+", "++" or "~"
    key: str  # dotted, or of a group: GROUP@PACKAGE
    value: str | None  # None without a `=`

    @property
    def left(self) -> str:
        """The text before the `=`."""
        return f"{self.mark}{self.key}"

    @property
    def text(self) -> str:
        """The value as text, empty without one."""
        return self.value or ""

    @property
    def setting(self) -> str:
        """The value, or DROPPED for `~KEY`."""
        return DROPPED if self.mark == "~" else self.text

    def put(self, value: str) -> "Override":
        """Give the override another value."""
        return replace(self, value=value)

    def __str__(self) -> str:
        """The override as it is typed."""
        return self.left if self.value is None else f"{self.left}={self.value}"


def parse(word: str) -> Override:
    """Take an override apart. Every word can be; `str` of the result is the word again."""
    left, equals, value = word.partition("=")
    key = left.lstrip(_MARKS)
    return Override(left[: len(left) - len(key)], key, value if equals else None)


def key_of(word: str) -> str:
    """The key that an override changes."""
    return parse(word).key


def parted(word: str) -> tuple[str, str]:
    """The key of an override and its value as typed, or DROPPED."""
    override = parse(word)
    return override.key, override.setting


def without_folder(overrides: Iterable[str]) -> list[str]:
    """The overrides without the run's own folder and address in a bucket, which no other run can have."""
    return [word for word in overrides if not names_folder(word) and key_of(word) != "output.upload"]


def names_folder(word: str) -> bool:
    """Tell if an override sets the run's own folder."""
    override = parse(word)
    return override.key == "output.dir" and override.mark != "~" and override.value is not None


# --- values -----------------------------------------------------------------------------------------------------------


def as_text(value: object) -> str:
    """A setting's value as it is typed on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(as_text, value))}]"
    return json.dumps(value)  # null, true, numbers


def quoted(text: str) -> str:
    """A text in single quotes, as Hydra's grammar reads it back, whatever its characters."""
    escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"


# --- commands ---------------------------------------------------------------------------------------------------------


def repeat_command(flags: Sequence[str], overrides: Sequence[str], command: str = COMMAND) -> str:
    """A command line that starts the same job, in a folder of its own."""
    return command_line(flags, without_folder(overrides), command)


def command_line(flags: Sequence[str], overrides: Sequence[str], command: str = COMMAND) -> str:
    """A command line as it is pasted into a shell."""
    return " ".join([command, *map(for_shell, [*flags, *overrides])])


def for_shell(word: str) -> str:
    """A word quoted for the shell, in double quotes where it has single quotes of its own: '"'"' is hard to read."""
    if "'" in word and not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return shlex.quote(word)


def config_flags(command: Sequence[str]) -> list[str]:
    """The words of a command that name config files: they change what an override means."""
    flags: list[str] = []
    for position, word in enumerate(command):
        if word in _CONFIG_FLAGS:
            flags += command[position : position + 2]
        elif key_of(word) in _CONFIG_FLAGS:
            flags.append(word)
    return flags
