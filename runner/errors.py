"""Errors that a user can fix. Each says what, where, got, wanted, what to do."""

import re
from pathlib import Path
from typing import Any

# Control characters, line separators, marks that turn the direction of writing, and bytes that were no UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\udc80-\udcff]")


def printable(text: str) -> str:
    """A name as it may be shown: characters that a terminal would obey are escaped, as \\x1b or \\n."""
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def is_utf8(text: str) -> bool:
    """Tell if a name from the command line or a folder was UTF-8, and can be written into a record."""
    return text.encode("utf-8", "ignore").decode() == text


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # of a file name that is not UTF-8, as Python keeps it
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()


class RunnerError(Exception):
    """A failure that its message explains to the user; `exit_code` is the process's.

    `href` is the scene at fault, `task` the trace of the task that raised it (`runner.engine.trace`); None if unknown.
    """

    exit_code = 1
    href: str | None = None
    task: object = None


class ConfigError(RunnerError):
    """A setting is wrong; nothing was started."""

    exit_code = 2


class SourceError(RunnerError):
    """The archive cannot be listed, or its scenes do not make one stack."""


class OutsideError(SourceError):
    """The box, the area or the zones of the settings have no pixel of a stack."""


class PlanError(RunnerError):
    """The job cannot be run as configured on these machines."""


class ClusterError(RunnerError):
    """The workers of a stage do not start, or are lost."""


class ReadError(RunnerError):
    """A scene's bytes cannot be read or decoded; `href` names it."""

    href: str

    def __init__(self, href: str, problem: str) -> None:
        super().__init__(f"{printable(href)}: {problem}")
        self.href = href
        self.problem = problem

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str], dict[str, Any]]:
        """Keep all attributes when the error crosses from a worker process."""
        return type(self), (self.href, self.problem), vars(self)


class ArchiveError(RunnerError):
    """Stacks of an archive failed; the others are complete, or can go on.

    `of_settings` if those that failed will fail again until a setting is another.
    """

    def __init__(self, problem: str, *, of_settings: bool = False) -> None:
        super().__init__(problem)
        self.of_settings = of_settings


class OutputError(RunnerError):
    """A result cannot be written where the user asked."""


class RecordError(RunnerError):
    """A run folder is not there, or does not hold what is asked of it."""

    exit_code = 2


class SweepError(RunnerError):
    """A sweep cannot go on as asked, or not all of its jobs came to an end."""


class Interrupted(KeyboardInterrupt):
    """The run was stopped by a signal; 129 for a closed terminal, 130 for Ctrl-C, 143 for SIGTERM.

    No `except Exception` may swallow it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number


class OtherStackFailed(Interrupted):
    """The run of a stack was stopped, since another one of its archive failed and `archive.on_error` is stop."""

    def __init__(self) -> None:
        super().__init__(0)
        self.args = ("stopped, since another stack failed",)
        self.exit_code = 1


class NobodyWaits(Interrupted):
    """The run of a stack on a worker was stopped, since the run of its archive is gone or has given the worker up."""

    def __init__(self) -> None:
        super().__init__(0)
        self.args = ("stopped, since the archive's run is gone or has given this worker up",)
        self.exit_code = 1


def expanded(path: str) -> Path:
    """The path with its `~` as a home folder. Raises ConfigError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{printable(path)}: the home folder it begins with is not known; write it out") from error
