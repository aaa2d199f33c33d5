"""A sweep's leaderboard, from its folder alone: the jobs ranked, the winner, and whether all computed the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from runner.base import humanize
from runner.base.tree import flat
from runner.leaderboard.attempts import Sweep, read_sweep
from runner.leaderboard.labels import name_rows
from runner.leaderboard.ranking import Noise
from runner.leaderboard.records import Status
from runner.leaderboard.rows import Row, ranked, rows_of
from runner.record.value_settings import chooses_scenes, chooses_values

_MOST_VALUES: Final = 4


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A sweep's jobs, best first, those without a rank last; `noise` is that of the first objective."""

    sweep: Sweep
    rows: tuple[Row, ...]
    noise: Noise
    names: dict[int, str]  # of each job: the settings in which it differs from the others
    unlike: tuple[str, ...] = ()  # settings by which the jobs did different work; then they have no ranks
    files: tuple[Path, ...] = ()  # that were written
    notes: tuple[str, ...] = ()  # on files that were not

    @property
    def best(self) -> Row | None:
        """The winner; None if nothing completed, the jobs did different work, or their values disagree."""
        first = next((row for row in self.rows if row.rank), None)
        return None if self.disagreeing or self.unlike else first

    @property
    def baseline(self) -> Row | None:
        """The job that the others are compared with."""
        return next((row for row in self.rows if row.baseline), None)

    @property
    def disagreeing(self) -> list[Row]:
        """Jobs with other bits than the rest."""
        return [row for row in self.rows if row.differs]

    @property
    def exit_code(self) -> int:
        """1 if a job failed or was cut off, if a folder cannot be read, or if bits disagree.

        Jobs that were refused or pruned have not failed.
        """
        return int(any(row.failed for row in self.rows) or bool(self.disagreeing) or bool(self.sweep.problems))


def read_leaderboard(folder: Path) -> Leaderboard:
    """The leaderboard of the sweep in this folder; nothing is written. Raises RecordError if it is not a sweep."""
    sweep = read_sweep(folder)
    rows, noise = ranked(rows_of(sweep.attempts), sweep.objective)
    unlike = different_work(rows)
    if unlike:
        rows = [replace(row, rank=None, tied=False, front=False, ratio=None) for row in rows]
        rows.sort(key=lambda row: (not row.measured, row.job))
    return Leaderboard(sweep, tuple(rows), noise, name_rows(rows), unlike)


# --- different work ---------------------------------------------------------------------------------------------------


def different_work(rows: Sequence[Row]) -> tuple[str, ...]:
    """The settings by which the completed jobs did different work; none if all did the same.

    Jobs that read other scenes, bands or masks, or compute other statistics, are measured, but their times do not show
    which settings are best.
    """
    completed = sorted((row for row in rows if row.status is Status.COMPLETED), key=lambda row: row.job)
    known = [row for row in completed if row.agreement.work]
    if len({row.agreement.work for row in known}) < 2:
        return ()
    runs = [row.run for row in known if row.run]
    settings = [
        {key: str(value) for key, value in flat(run.config).items() if chooses_values(key) or chooses_scenes(key)}
        for run in runs
    ]
    keys = dict.fromkeys(key for own in settings for key in own)
    varied = {key: dict.fromkeys(own.get(key, "none") for own in settings) for key in keys}
    differences = [f"{key} ({_listed(values)})" for key, values in varied.items() if len(values) > 1]
    scenes = sorted({run.record.scenes for run in runs if run.record.scenes is not None})
    counts = [f"the number of scenes ({_listed(map(str, scenes))})"] if len(scenes) > 1 else []
    return tuple([*differences, *counts] or ["the scenes that they read"])


def _listed(values: Iterable[str]) -> str:
    return humanize.listed([humanize.cut(value, 40) for value in values], _MOST_VALUES)
