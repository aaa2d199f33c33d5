"""The command that asks for a run's job again: the flags that name config files, and its overrides."""

import re
import shlex
from collections.abc import Sequence

from runner.base.command import COMMAND

_CONFIG_FLAGS = frozenset({"--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"})


def repeat_command(flags: Sequence[str], overrides: Sequence[str], command: str = COMMAND) -> str:
    """A command line that starts the same job, in a folder of its own."""
    return command_line(flags, without_folder(overrides), command)


def command_line(flags: Sequence[str], overrides: Sequence[str], command: str = COMMAND) -> str:
    """A command line as it is pasted into a shell."""
    return " ".join([command, *map(quoted, [*flags, *overrides])])


def quoted(word: str) -> str:
    """A word for the shell, in double quotes where it has single quotes of its own, since '"'"' cannot be read."""
    if "'" in word and not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return shlex.quote(word)


def without_folder(overrides: Sequence[str]) -> list[str]:
    """The overrides without the run's own folder, which no other run can have."""
    return [word for word in overrides if not word.lstrip("+").startswith("output.dir=")]


def config_flags(command: Sequence[str]) -> list[str]:
    """The arguments of a command that name config files: they change what an override means."""
    found: list[str] = []
    for at, word in enumerate(command):
        if word in _CONFIG_FLAGS:
            found += command[at : at + 2]
        elif word.partition("=")[0] in _CONFIG_FLAGS:
            found.append(word)
    return found
