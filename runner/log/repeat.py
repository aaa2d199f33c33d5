"""The command that asks for a run's job again: the flags that name config files, and its overrides."""

import shlex
from collections.abc import Sequence

from runner.command import COMMAND

_CONFIG_FLAGS = frozenset({"--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"})


def repeat_command(flags: Sequence[str], overrides: Sequence[str], command: str = COMMAND) -> str:
    """A command line that starts the same job, in a folder of its own."""
    return " ".join([command, *map(shlex.quote, [*flags, *without_folder(overrides)])])


def without_folder(overrides: Sequence[str]) -> list[str]:
    """The overrides without the run's own folder, which no other run can have."""
    return [word for word in overrides if not word.lstrip("+").startswith("output.dir=")]


def config_flags(command: Sequence[str]) -> list[str]:
    """Those of the command's words that name config files: they change what an override means."""
    found: list[str] = []
    for at, word in enumerate(command):
        if word in _CONFIG_FLAGS:
            found += command[at : at + 2]
        elif word.partition("=")[0] in _CONFIG_FLAGS:
            found.append(word)
    return found
