"""The number of files and connections that this process may have open."""

import resource
from contextlib import suppress


def allow_many_files() -> None:
    """Raise the limit to the highest that the system allows; by default it is 1,024, a hundred threads' connections.

    Processes started later have the same limit. Nobody here uses `select`, for which the low one was made.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems name a limit that they do not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
