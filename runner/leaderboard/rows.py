"""The rows of a leaderboard: one for each job, its attempts folded together, ranked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median
from typing import Final

from runner.base.humanize import plural
from runner.leaderboard import agreement as bits
from runner.leaderboard.agreement import Agreement
from runner.leaderboard.attempts import PastAttempt
from runner.leaderboard.ranking import Noise, front, noise_of, ranks

# These say nothing of the job's settings: attempts that ended so do not count against it.
_CUT_OFF: Final = ("RUNNING", "INTERRUPTED", "KILLED")
_NO_FAULT: Final = ("COMPLETED", "REFUSED", "PRUNED", "RUNNING")
_ORDER: Final = ("COMPLETED", "RUNNING", "PRUNED", "REFUSED", "INTERRUPTED", "KILLED")  # of the table; then failures


@dataclass(frozen=True, slots=True)
class Row:
    """One job. Medians are over the attempts that completed; what is unknown is None.

    `ratio` is the baseline's median wall time by this one's, 2.0 if this is twice as fast.
    """

    job: int
    settings: Mapping[str, str]
    baseline: bool
    status: str
    reason: str | None
    attempts: tuple[PastAttempt, ...]  # over all scenes
    few_seconds: float | None  # median wall of the first rung
    agreement: Agreement
    rank: int | None = None
    tied: bool = False
    front: bool = False
    ratio: float | None = None

    @property
    def completed(self) -> list[PastAttempt]:
        """The attempts that count."""
        return [one for one in self.attempts if one.status == "COMPLETED"]

    @property
    def walls(self) -> list[float]:
        """Seconds, an attempt each."""
        return self._each(lambda one: one.wall_seconds)

    @property
    def peaks(self) -> list[float]:
        """Bytes, an attempt each."""
        return self._each(lambda one: one.peak_bytes)

    @property
    def wall_seconds(self) -> float | None:
        """Median, from the start of the process to its end."""
        return _median(self.walls)

    @property
    def spread(self) -> float | None:
        """Half the range of the wall times, relative to their median; None of a single one."""
        walls = self.walls
        return (max(walls) - min(walls)) / 2 / median(walls) if len(walls) > 1 else None

    @property
    def cpu_seconds(self) -> float | None:
        """Median, of the whole process tree."""
        return _median(self._each(lambda one: one.cpu_seconds))

    @property
    def peak_bytes(self) -> float | None:
        """Median, of the whole process tree."""
        return _median(self.peaks)

    @property
    def fetched_bytes(self) -> float | None:
        """Median; None if GDAL fetched."""
        return _median(self._each(lambda one: one.fetched[0]))

    @property
    def requests(self) -> float | None:
        """Median; None if GDAL fetched."""
        return _median(self._each(lambda one: one.fetched[1]))

    @property
    def megabytes_per_second(self) -> float | None:
        """Median, while computing."""
        return _median(self._each(lambda one: one.run.record.megabytes_per_second if one.run else None))

    @property
    def measured(self) -> bool:
        """Whether it completed with a wall time, ranked or not."""
        return self.status == "COMPLETED" and bool(self.walls)

    @property
    def failed(self) -> bool:
        """Whether it went wrong, or did not come to its end."""
        return self.status not in _NO_FAULT

    @property
    def differs(self) -> bool:
        """Whether its values are not those of the others."""
        return self.agreement.verdict == bits.DIFFER

    def measure(self, objective: str) -> list[float]:
        """What is to be small, an attempt each."""
        return self.walls if objective == "wall" else self.peaks

    def level(self, objective: str) -> float | None:
        """Its median."""
        return _median(self.measure(objective))

    def _each(self, of: Callable[[PastAttempt], float | None]) -> list[float]:
        return [value for one in self.completed if (value := of(one)) is not None]


def rows_of(attempts: Sequence[PastAttempt]) -> list[Row]:
    """A row for each job, not ranked yet; `attempts` are by job and repeat."""
    agreements = bits.agreements([one for one in attempts if one.rung == "all"])
    return [_row(list(of), agreements) for _, of in groupby(attempts, key=lambda one: one.job)]


def ranked(rows: Sequence[Row], objective: Sequence[str]) -> tuple[list[Row], Noise]:
    """The same, best first, with rank, front and ratio; and the noise by which the first objective was judged.

    Jobs that did not complete have no rank and stand last.
    """
    first, *others = objective
    able = [row for row in rows if row.status == "COMPLETED" and row.measure(first)]
    noise = noise_of([row.measure(first) for row in able])
    able.sort(key=lambda row: (median(row.measure(first)), row.job))
    numbers = ranks([median(row.measure(first)) for row in able], [len(row.measure(first)) for row in able], noise)
    many = Counter(numbers)
    able = [replace(row, rank=rank, tied=many[rank] > 1) for row, rank in zip(able, numbers, strict=True)]
    if others:  # which decide among those that tie in the first
        able.sort(key=lambda row: (row.rank, *(_median(row.measure(other)) or 0.0 for other in others)))
    rest = sorted((row for row in rows if row.rank is None and row.job not in {one.job for one in able}), key=_last)
    return _against_baseline(_with_front([*able, *rest])), noise


def _last(row: Row) -> tuple[int, int]:
    return _ORDER.index(row.status) if row.status in _ORDER else len(_ORDER), row.job


def _row(attempts: list[PastAttempt], agreements: Mapping[tuple[int, int], Agreement]) -> Row:
    whole = [one for one in attempts if one.rung == "all"]
    done = [one for one in attempts if one.rung != "all" and one.status == "COMPLETED"]
    few = [one.wall_seconds for one in done if one.wall_seconds is not None]
    status, reason = _outcome(whole or attempts)
    said = [agreements[one.job, one.repeat] for one in whole if (one.job, one.repeat) in agreements]
    worst = sorted(said, key=lambda one: (one.verdict != bits.DIFFER, -(one.apart or 0.0)))
    first = attempts[0]
    return Row(
        job=first.job,
        settings=first.settings,
        baseline=first.baseline,
        status=status,
        reason=reason,
        attempts=tuple(whole),
        few_seconds=_median(few),
        agreement=worst[0] if worst else Agreement(""),
    )


def _outcome(attempts: Sequence[PastAttempt]) -> tuple[str, str | None]:
    """The status of a job, and why: it is COMPLETED if all attempts are but those that were cut off from outside.

    Without attempts over all scenes it is what those of the first rung say, of which each counts: it has not gone on.
    """
    completed = [one for one in attempts if one.status == "COMPLETED" and one.rung == "all"]
    others = [one for one in attempts if one.status != "COMPLETED"]
    if not others:
        return "COMPLETED", None
    worst = min(others, key=lambda one: one.status in _CUT_OFF)
    why = worst.reason or ""
    if len(attempts) > 1:
        why = f"{len(others)} of {plural(len(attempts), 'attempt')} {worst.status}{f': {why}' if why else ''}"
    if worst.rung != "all":
        why = f"on few scenes: {why}" if why else "on few scenes"
    if completed and worst.status in _CUT_OFF:
        return "COMPLETED", f"{why}; the {len(completed)} that completed count"
    return worst.status, why or None


def _with_front(rows: list[Row]) -> list[Row]:
    """Mark the Pareto front of wall time against memory, among those with a rank."""
    known = {row.job: (row.wall_seconds, row.peak_bytes) for row in rows if row.rank}
    points = {job: (wall, peak) for job, (wall, peak) in known.items() if wall is not None and peak is not None}
    marks = dict(zip(points, front(list(points.values())), strict=True))
    return [replace(row, front=marks.get(row.job, False)) for row in rows]


def _against_baseline(rows: list[Row]) -> list[Row]:
    wall = next((row.wall_seconds for row in rows if row.baseline and row.rank), None)
    if not wall:
        return rows
    return [replace(row, ratio=wall / row.wall_seconds) if row.rank and row.wall_seconds else row for row in rows]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
