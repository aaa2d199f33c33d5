"""The rows of a leaderboard: one for each job with all its attempts, ranked."""

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
from runner.leaderboard.records import Status
from runner.record.run_folder import RunFolder

# Ends that do not depend on the job's settings, so that such attempts do not count against it.
_CUT_OFF: Final = (Status.RUNNING, Status.INTERRUPTED, Status.KILLED)
_NO_FAULT: Final = (Status.COMPLETED, Status.REFUSED, Status.PRUNED, Status.RUNNING)
_ORDER: Final = (Status.COMPLETED, Status.RUNNING, Status.PRUNED, Status.REFUSED, Status.INTERRUPTED, Status.KILLED)


@dataclass(frozen=True, slots=True)
class Row:
    """A job. Medians are over the attempts that completed; unknown values are None.

    `ratio` is the baseline's median wall time divided by this one's: 2.0 if this job is twice as fast.
    """

    job: int
    settings: Mapping[str, str]
    baseline: bool
    status: Status
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
        return [attempt for attempt in self.attempts if attempt.completed]

    @property
    def run(self) -> RunFolder | None:
        """The run of its first completed attempt."""
        return next((attempt.run for attempt in self.completed if attempt.run), None)

    @property
    def walls(self) -> list[float]:
        """Seconds of each attempt."""
        return self._each(lambda attempt: attempt.record.wall_seconds)

    @property
    def peaks(self) -> list[float]:
        """Bytes of each attempt."""
        return self._each(lambda attempt: attempt.record.peak_bytes)

    @property
    def wall_seconds(self) -> float | None:
        """Median, from the start of the process to its end."""
        return _median(self.walls)

    @property
    def spread(self) -> float | None:
        """Half the range of the wall times, relative to their median; None for a single one."""
        walls = self.walls
        return (max(walls) - min(walls)) / 2 / median(walls) if len(walls) > 1 else None

    @property
    def cpu_seconds(self) -> float | None:
        """Median, of the whole process tree."""
        return _median(self._each(lambda attempt: attempt.record.cpu_seconds))

    @property
    def peak_bytes(self) -> float | None:
        """Median, of the whole process tree."""
        return _median(self.peaks)

    @property
    def fetched_bytes(self) -> float | None:
        """Median; None if GDAL fetched."""
        return _median(self._each(lambda attempt: attempt.fetched[0]))

    @property
    def requests(self) -> float | None:
        """Median; None if GDAL fetched."""
        return _median(self._each(lambda attempt: attempt.fetched[1]))

    @property
    def megabytes_per_second(self) -> float | None:
        """Median, while computing."""
        return _median(self._each(lambda attempt: attempt.run.record.megabytes_per_second if attempt.run else None))

    @property
    def measured(self) -> bool:
        """True if it completed with a wall time, ranked or not."""
        return self.status is Status.COMPLETED and bool(self.walls)

    @property
    def failed(self) -> bool:
        """True if it went wrong, or was cut off."""
        return self.status not in _NO_FAULT

    @property
    def differs(self) -> bool:
        """True if its values differ from those of the others."""
        return self.agreement.verdict == bits.DIFFER

    def measure(self, objective: str) -> list[float]:
        """The value of an objective for each attempt."""
        return self.walls if objective == "wall" else self.peaks

    def level(self, objective: str) -> float | None:
        """The median of the objective."""
        return _median(self.measure(objective))

    def _each(self, measure: Callable[[PastAttempt], float | None]) -> list[float]:
        return [value for attempt in self.completed if (value := measure(attempt)) is not None]


def rows_of(attempts: Sequence[PastAttempt]) -> list[Row]:
    """A row for each job, not ranked yet; `attempts` are sorted by job and repeat."""
    agreements = bits.agreements([attempt for attempt in attempts if attempt.on_all_scenes])
    return [_row(list(own), agreements) for _, own in groupby(attempts, key=lambda attempt: attempt.job)]


def ranked(rows: Sequence[Row], objective: Sequence[str]) -> tuple[list[Row], Noise]:
    """The rows, best first, with rank, front and ratio; and the noise of the first objective.

    Jobs that did not complete have no rank and come last.
    """
    first, *second = objective
    able = [row for row in rows if row.status is Status.COMPLETED and row.measure(first)]
    noise = noise_of([row.measure(first) for row in able])
    able.sort(key=lambda row: (median(row.measure(first)), row.job))
    numbers = ranks([median(row.measure(first)) for row in able], [len(row.measure(first)) for row in able], noise)
    count = Counter(numbers)
    able = [replace(row, rank=rank, tied=count[rank] > 1) for row, rank in zip(able, numbers, strict=True)]
    if second:  # it decides among jobs that tie in the first
        able.sort(key=lambda row: (row.rank, *(row.level(objective) or 0.0 for objective in second)))
    others = sorted((row for row in rows if row.job not in {ranked.job for ranked in able}), key=_last)
    return _against_baseline(_with_front([*able, *others])), noise


def _last(row: Row) -> tuple[int, int]:
    return _ORDER.index(row.status) if row.status in _ORDER else len(_ORDER), row.job


def _row(attempts: list[PastAttempt], agreements: Mapping[tuple[int, int], Agreement]) -> Row:
    whole = [attempt for attempt in attempts if attempt.on_all_scenes]
    few = [attempt.record for attempt in attempts if attempt.completed and not attempt.on_all_scenes]
    status, reason = _outcome(whole or attempts)
    keys = [(attempt.job, attempt.record.repeat) for attempt in whole]
    known = [agreements[key] for key in keys if key in agreements]
    worst = sorted(known, key=lambda agreement: (agreement.verdict != bits.DIFFER, -(agreement.apart or 0.0)))
    first = attempts[0].record
    return Row(
        job=first.job,
        settings=first.varied,
        baseline=first.baseline,
        status=status,
        reason=reason,
        attempts=tuple(whole),
        few_seconds=_median([record.wall_seconds for record in few if record.wall_seconds is not None]),
        agreement=worst[0] if worst else Agreement(""),
    )


def _outcome(attempts: Sequence[PastAttempt]) -> tuple[Status, str | None]:
    """The status of a job, and the reason: COMPLETED if all attempts completed except those that were cut off.

    Without attempts on all scenes, every attempt of the first rung counts: the job has not gone on.
    """
    completed = [attempt for attempt in attempts if attempt.completed and attempt.on_all_scenes]
    others = [attempt for attempt in attempts if not attempt.completed]
    if not others:
        return Status.COMPLETED, None
    worst = min(others, key=lambda attempt: attempt.status in _CUT_OFF)
    reason = worst.record.reason or ""
    if len(attempts) > 1:
        reason = f"{len(others)} of {plural(len(attempts), 'attempt')} {worst.status}{f': {reason}' if reason else ''}"
    if not worst.on_all_scenes:
        reason = f"on few scenes: {reason}" if reason else "on few scenes"
    if completed and worst.status in _CUT_OFF:
        return Status.COMPLETED, f"{reason}; the {len(completed)} that completed count"
    return worst.status, reason or None


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
