"""The name of our command, as it can be pasted where the user is."""

import shlex
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Final

from runner.base.humanize import relative_path

COMMAND: Final = "cog-stack-runner"


@cache
def command() -> str:
    """The command of the environment that runs: by its name if the shell finds it, else by its path."""
    interpreter = Path(sys.executable)
    script = interpreter.with_name(COMMAND)
    if not script.is_file():
        return f"{_shown(interpreter, shutil.which('python'))} -m runner"
    return _shown(script, shutil.which(COMMAND))


def _shown(file: Path, by_name: str | None) -> str:
    """A file's name if that is what the shell runs; else its path, from the current folder if it lies below."""
    if by_name is not None and Path(by_name).absolute() == file:
        return file.name
    return shlex.quote(relative_path(file))
