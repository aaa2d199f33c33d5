"""A sweep's leaderboard, from its folder alone: which job is best, by how much, and whether all computed the same."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Final

from runner.base import humanize
from runner.base.command import COMMAND
from runner.leaderboard import agreement
from runner.leaderboard.attempts import Sweep, read_sweep
from runner.leaderboard.labels import name_rows
from runner.leaderboard.ranking import Noise, tie
from runner.leaderboard.rows import Row, ranked, rows_of
from runner.leaderboard.work import different_work

_NUMBERS: Final = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A sweep's jobs, best first, those without a rank last; `noise` is that of the first objective."""

    sweep: Sweep
    rows: tuple[Row, ...]
    noise: Noise
    names: dict[int, str]  # what tells each job from the others, in words
    unlike: tuple[str, ...] = ()  # in what the jobs did not do the same work; they have no ranks then
    files: tuple[Path, ...] = ()  # what was written
    notes: tuple[str, ...] = ()  # what could not be

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
        """Jobs whose bits are not those of the others."""
        return [row for row in self.rows if row.differs]

    @property
    def exit_code(self) -> int:
        """1 if a job failed, died, was stopped or ran out of time or memory, if a folder cannot be read, or if bits
        disagree. What the plan refused and what was pruned is no failure.
        """
        return int(any(row.failed for row in self.rows) or bool(self.disagreeing) or bool(self.sweep.problems))


def read_leaderboard(folder: Path) -> Leaderboard:
    """The leaderboard of the sweep in this folder; nothing is written. Raises RecordError if it is no sweep."""
    sweep = read_sweep(folder)
    rows, noise = ranked(rows_of(sweep.attempts), sweep.objective)
    unlike = different_work(rows)
    if unlike:
        rows = [replace(row, rank=None, tied=False, front=False, ratio=None) for row in rows]
        rows.sort(key=lambda row: (not row.measured, row.job))
    return Leaderboard(sweep, tuple(rows), noise, name_rows(rows), unlike)


# --- in words ---------------------------------------------------------------------------------------------------------


def answer(board: Leaderboard) -> list[str]:
    """What the sweep found out, the most important first."""
    unread = (f"Not read: {problem}" for problem in board.sweep.problems)
    return [*_disagreement(board), *_winner(board), *_losers(board), *unread, *board.notes]


def _disagreement(board: Leaderboard) -> Iterator[str]:
    """What must not be overlooked."""
    if board.disagreeing:
        jobs = ", ".join(f"{row.job} ({_difference(row)})" for row in board.disagreeing)
        against = board.disagreeing[0].agreement.reference
        what = "BITS" if any(row.agreement.apart is None for row in board.disagreeing) else "VALUES"
        yield (
            f"NOT THE SAME {what}: {humanize.plural(len(board.disagreeing), 'job')} computed other values than job "
            f"{against} and those like it: {jobs}. No winner is named; {COMMAND} log diff shows where two runs "
            "differ."
        )


def _difference(row: Row) -> str:
    """In what a job is not like the others."""
    said = row.agreement
    repeats = ["from one repeat to the next"] if row.job == said.reference else []
    apart = [] if said.apart is None else [f"by up to {said.apart:.2g}, where {agreement.TOLERANCE:g} may be rounding"]
    return ", ".join([*repeats, *said.differs_in, *apart])


def _winner(board: Leaderboard) -> Iterator[str]:
    best, objective = board.best, board.sweep.objective[0]
    if board.unlike:
        yield (
            f"No winner, and no best.yaml: the jobs did not do the same work, so their times cannot be compared. They "
            f"differ in {' and '.join(board.unlike)}."
        )
        return
    if best is None:
        if not board.disagreeing:
            yield "No job completed, so there is no winner."
        return
    word = "Fastest" if objective == "wall" else "Least memory"
    ties = [row for row in board.rows if row.rank == best.rank and row is not best]
    all_tie = bool(ties) and len(ties) + 1 == sum(row.rank is not None for row in board.rows)
    if all_tie:
        word = f"All {len(ties) + 1} jobs tie; {word.lower()} by a little"
    yield f"{word}: {board.names[best.job]}: {_figures(best, objective)}{_against_baseline(board, best)}."
    if all_tie:
        yield tie_rule(board)
    elif ties:
        others = humanize.listed([board.names[row.job] for row in ties], 3, "; ")
        yield f"It ties with {humanize.plural(len(ties), 'other')}: {others}. {tie_rule(board)}"
    elif board.noise.assumed:
        yield tie_rule(board)


def _figures(row: Row, objective: str) -> str:
    """Time and memory, first the one that counts, with its range."""
    each = row.measure(objective)
    low, high = (in_its_unit(end, objective) for end in (min(each), max(each)))
    over = f", median of {len(each)} from {low} to {high}" if len(each) > 1 else ""
    other = "peak" if objective == "wall" else "wall"
    return f"{in_its_unit(row.level(objective), objective)}{over}, {in_its_unit(row.level(other), other)}"


def in_its_unit(value: float | None, objective: str) -> str:
    """Seconds of wall time, bytes of memory."""
    return humanize.seconds(value) if objective == "wall" else humanize.size(value)


def _against_baseline(board: Leaderboard, best: Row) -> str:
    baseline = board.baseline
    if baseline is None:
        return ""
    if baseline is best:
        return "; it is the baseline"
    if best.ratio is None:
        return f"; the baseline is {baseline.status}"
    alike = tie(median(best.walls), len(best.walls), median(baseline.walls), len(baseline.walls), board.noise)
    same = ", which is a tie" if alike and board.sweep.objective[0] == "wall" else ""
    return f"; {best.ratio:.3g}x the baseline's speed ({humanize.seconds(baseline.wall_seconds)}){same}"


def tie_rule(board: Leaderboard) -> str:
    """Which differences count as none, and why."""
    noise = board.noise
    if noise.assumed:
        return (
            "No job was repeated: differences under 10 % are taken for noise, which is an assumption (sweep.repeats)."
        )
    many = sorted(len(row.measure(board.sweep.objective[0])) for row in board.rows if row.measured)
    least = noise.least_difference(many[len(many) // 2], many[len(many) // 2])
    return f"Differences under {100 * least:.2g} % are noise, by the spread of the repeats."


def _losers(board: Leaderboard) -> Iterator[str]:
    """How many did not complete, by status, and what has not begun."""
    statuses = [row.status for row in board.rows if row.status != "COMPLETED"]
    if statuses:
        counted = ", ".join(f"{statuses.count(one)} {_in_words(one)}" for one in dict.fromkeys(statuses))
        yield f"{len(board.rows) - len(statuses)} of {humanize.plural(len(board.rows), 'job')} completed; {counted}."
    planned = board.sweep.facts.get("planned")
    rungs = [one.rung for one in board.sweep.attempts if one.status not in ("REFUSED", "PRUNED")]
    begun = rungs.count("all") or len(rungs)  # the plan is that of the last rung that has begun
    if isinstance(planned, int) and planned > begun:
        yield f"{planned - begun} of {humanize.plural(planned, 'run')} have not started."


def _in_words(status: str) -> str:
    return status.lower().replace("_", " ")


def bits_in_words(board: Leaderboard) -> tuple[str, str]:
    """How many jobs computed the same bits, and what is to be said of the others."""
    verdicts = [row.agreement.verdict for row in board.rows if row.agreement.verdict]
    close = [row.agreement for row in board.rows if row.agreement.verdict == agreement.CLOSE]
    apart = [said.apart for said in close if said.apart is not None]
    notes = [f"{len(board.disagreeing)} DIFFER"] if board.disagreeing else []
    most = f"within {max(apart):.1g}" if any(apart) else "equal"
    notes += [f"{len(apart)} compared by values: {most}"] if apart else []
    return f"{verdicts.count(agreement.SAME)} of {len(verdicts)}", "; ".join(notes)


def reasons_once(rows: Sequence[Row]) -> Iterator[tuple[list[Row], str]]:
    """Why jobs have no result: those that follow each other with one reason, but for its numbers, are told together."""
    for alike, group in groupby(rows, key=lambda row: (row.status, _NUMBERS.sub("#", row.reason or ""))):
        several = list(group)
        reason, jobs = several[0].reason, ", ".join(str(row.job) for row in several)
        if alike[1] and len({row.reason for row in several}) > 1:
            yield several, f"jobs {jobs}, alike but for numbers; job {several[0].job}: {reason}"
        elif alike[1]:
            yield several, f"jobs {jobs}: {reason}" if len(several) > 1 else str(reason)
