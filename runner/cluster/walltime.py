"""Walltimes as each queue reads them: `00:05` is five minutes in LSF and OAR, and five seconds in Slurm and PBS."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from runner.settings import ClusterKind

SHORTEST_SECONDS: Final = 60.0  # of a job whose workers start, and leave before it ends
_CLOCK: Final = (3600, 60, 1)  # seconds of hours, minutes, seconds


class _Form(NamedTuple):
    """The seconds of each part of a time, by the number of its parts; with `days`, `D-` may stand before hours."""

    units: Mapping[int, tuple[int, ...]]
    text: str
    days: bool = False


# From the manuals of sbatch (--time), PBS (pbs_resources), Grid Engine (sge_types), bsub (-W) and oarsub (-l).
_FORMS: Final = {
    ClusterKind.slurm: _Form({1: (60,), 2: (60, 1), 3: _CLOCK}, "MM, MM:SS, HH:MM:SS or D-HH:MM:SS", days=True),
    ClusterKind.pbs: _Form({1: (1,), 2: (60, 1), 3: _CLOCK}, "SS, MM:SS or HH:MM:SS"),
    ClusterKind.sge: _Form({1: (1,), 3: _CLOCK}, "SS or HH:MM:SS"),
    ClusterKind.lsf: _Form({1: (60,), 2: (3600, 60)}, "MM or HH:MM"),
    ClusterKind.oar: _Form({1: (3600,), 2: (3600, 60), 3: _CLOCK}, "HH, HH:MM or HH:MM:SS"),
}


def walltime_seconds(kind: ClusterKind, text: str) -> float | None:
    """The seconds of a walltime, as a queue reads it; None for a form that it does not read."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", text.strip())
    if found is None or kind not in _FORMS:
        return None
    form, days, parts = _FORMS[kind], found[1], [int(part) for part in found[2].split(":")]
    if days is not None:
        return 86400.0 * int(days) + _sum(parts, _CLOCK) if form.days else None
    return _sum(parts, form.units[len(parts)]) if len(parts) in form.units else None


def _sum(parts: list[int], units: tuple[int, ...]) -> float:
    return float(sum(part * unit for part, unit in zip(parts, units, strict=False)))


def refusal(kind: ClusterKind, text: str) -> str:
    """What is wanted in place of a walltime that the queue does not read, or that is too short; nothing if it fits.

    0 is no limit in Slurm, and no time at all elsewhere.
    """
    seconds, form = walltime_seconds(kind, text), _FORMS[kind].text
    if seconds == 0 and kind is ClusterKind.slurm:
        return ""
    if seconds is None:
        return f"a time as {kind.value} reads it: {form}"
    if seconds < SHORTEST_SECONDS:
        return f"a minute or more, or workers cannot do anything; {kind.value} reads it as {seconds:g} s, by {form}"
    return ""
