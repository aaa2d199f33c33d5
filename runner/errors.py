"""What a user is told when a run cannot go on: what, where, got, wanted, what to do."""

from typing import Any


class RunnerError(Exception):
    """A failure that is explained to the user in its message; `exit_code` is the process's."""

    exit_code = 1


class ConfigError(RunnerError):
    """A setting is wrong; nothing was started."""

    exit_code = 2


class SourceError(RunnerError):
    """The archive cannot be listed, or its scenes do not make one stack."""


class PlanError(RunnerError):
    """The job cannot be run as configured on these machines."""


class ClusterError(RunnerError):
    """The workers of a stage do not start, or are gone."""


class ReadError(RunnerError):
    """A scene's bytes cannot be read or decoded; `href` names it."""

    def __init__(self, href: str, problem: str) -> None:
        super().__init__(f"{href}: {problem}")
        self.href = href
        self.problem = problem

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str], dict[str, Any]]:
        """Keep both fields, and what was noted on it, when the error crosses from a worker process."""
        return type(self), (self.href, self.problem), vars(self)


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
