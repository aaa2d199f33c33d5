"""The name of our command, as it can be pasted where the user is."""

import shlex
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Final

from runner.base.humanize import relative_path
from runner.errors import ArchiveError, ConfigError, PlanError

COMMAND: Final = "cog-stack-runner"


@cache
def command() -> str:
    """The command of the environment that runs: by its name if the shell finds it, else by its path."""
    interpreter = Path(sys.executable)
    script = interpreter.with_name(COMMAND)
    if not script.is_file():
        return f"{_shown(interpreter, shutil.which('python'))} -m runner"
    return _shown(script, shutil.which(COMMAND))


def resume_command(folder: Path) -> str:
    """The command line that goes on with the run in a folder."""
    return f"{command()} log resume {shlex.quote(relative_path(folder))}"


def way_on(folder: Path, error: BaseException) -> str:
    """How to go on with the run in a folder that this error has ended. As it is, it would end so again, unless it was
    stopped.
    """
    resume = resume_command(folder)
    if is_of_settings(error):
        return f"to go on with other settings: {resume} -- KEY=VALUE"
    return f"to go on: {resume}" if isinstance(error, KeyboardInterrupt) else f"to go on, once that is fixed: {resume}"


def is_of_settings(error: BaseException) -> bool:
    """True for an error that comes again until a setting is another."""
    return isinstance(error, (ConfigError, PlanError)) or (isinstance(error, ArchiveError) and error.of_settings)


def _shown(file: Path, by_name: str | None) -> str:
    """A file's name if that is what the shell runs; else its path, from the current folder if it lies below."""
    if by_name is not None and Path(by_name).absolute() == file:
        return file.name
    return shlex.quote(relative_path(file))
