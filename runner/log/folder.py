"""A run folder as its readers see it."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psutil

STALE_AFTER: Final = timedelta(seconds=15)  # the heartbeat comes every 2 s


def status(facts: Mapping[str, Any]) -> str:
    """How a run stands, by its run.json: what that says, or KILLED for a RUNNING one that shows no life.

    That is when its heartbeat is older than 15 s, or it ran on this host and its process is gone.
    """
    said = str(facts.get("status", "UNKNOWN"))
    return "KILLED" if said == "RUNNING" and (_is_stale(facts) or _is_gone(facts)) else said


def _is_stale(facts: Mapping[str, Any]) -> bool:
    try:
        heartbeat = datetime.fromisoformat(str(facts.get("heartbeat")))
    except ValueError:
        return False
    return datetime.now(UTC) - heartbeat > STALE_AFTER if heartbeat.tzinfo else False


def _is_gone(facts: Mapping[str, Any]) -> bool:
    pid = facts.get("pid")
    return facts.get("host") == platform.node() and isinstance(pid, int) and not psutil.pid_exists(pid)
