"""A leaderboard in sentences: the winner, by how much it won, and what went wrong."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median
from typing import Final

from runner.base import humanize
from runner.base.command import COMMAND
from runner.leaderboard import agreement
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.ranking import ASSUMED, tie
from runner.leaderboard.records import Status
from runner.leaderboard.rows import Row

_NUMBERS: Final = re.compile(r"\d+(\.\d+)?")
_ENDS: Final = {
    **{status: status.lower() for status in Status},
    Status.RUNNING: "still running",
    Status.TIMEOUT: "ran out of time",
    Status.OUT_OF_MEMORY: "ran out of memory",
}


def answer(board: Leaderboard) -> list[str]:
    """The findings of the sweep, the most important first."""
    unread = (f"Not read: {problem}" for problem in board.sweep.problems)
    return [*_disagreement(board), *_winner(board), *_losers(board), *unread, *board.notes]


def _disagreement(board: Leaderboard) -> Iterator[str]:
    if board.disagreeing:
        jobs = ", ".join(f"job {row.job} ({_difference(row)})" for row in board.disagreeing)
        reference = board.disagreeing[0].agreement.reference
        what = "BITS" if any(row.agreement.apart is None for row in board.disagreeing) else "VALUES"
        yield (
            f"NOT THE SAME {what}: {humanize.plural(len(board.disagreeing), 'job')} computed other values than job "
            f"{reference} and the jobs that agree with it: {jobs}. No winner is named; {COMMAND} log diff shows where "
            "two runs differ."
        )


def _difference(row: Row) -> str:
    """The statistics and scenes in which a job differs from the others."""
    own = row.agreement
    repeats = ["from one repeat to the next"] if row.job == own.reference else []
    apart = [] if own.apart is None else [f"by up to {own.apart:.2g}, where {agreement.TOLERANCE:g} may be rounding"]
    return ", ".join([*repeats, *own.differs_in, *apart])


def _winner(board: Leaderboard) -> Iterator[str]:
    best, objective = board.best, board.sweep.objective[0]
    if board.unlike:
        yield (
            "No winner, and no best.yaml: the jobs did not do the same work, so their times cannot be compared. They "
            f"differ in {' and '.join(board.unlike)}."
        )
        return
    if best is None:
        if not board.disagreeing:
            yield "No job completed, so there is no winner."
        return
    title = "Fastest" if objective == "wall" else "Least memory"
    ties = [row for row in board.rows if row.rank == best.rank and row is not best]
    all_tie = bool(ties) and len(ties) + 1 == sum(row.rank is not None for row in board.rows)
    if all_tie:
        title = f"All {len(ties) + 1} jobs tie; {title.lower()} by a small margin"
    yield f"{title}: {board.names[best.job]}: {_figures(best, objective)}{_against_baseline(board, best)}."
    if all_tie:
        yield tie_rule(board)
    elif ties:
        others = humanize.listed([board.names[row.job] for row in ties], 3, "; ")
        yield f"It ties with {humanize.plural(len(ties), 'other')}: {others}. {tie_rule(board)}"
    elif board.noise.assumed:
        yield tie_rule(board)


def _figures(row: Row, objective: str) -> str:
    """Time and memory, the objective first, with its range."""
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
    return f"; {best.ratio:.3g}x as fast as the baseline ({humanize.seconds(baseline.wall_seconds)}){same}"


def tie_rule(board: Leaderboard) -> str:
    """The differences that count as noise, and the reason."""
    if board.noise.assumed:
        hint = "; sweep.repeats=3 measures it" if board.sweep.isolated else ""
        return f"No job was repeated, so differences under {100 * ASSUMED:.0f} % are assumed to be noise{hint}."
    return f"Differences under {100 * clear_difference(board):.2g} % are noise, given the spread of the repeats."


def clear_difference(board: Leaderboard) -> float:
    """The smallest relative difference that is not noise, between jobs with the usual number of repeats."""
    first = board.sweep.objective[0]
    repeats = sorted(len(row.measure(first)) for row in board.rows if row.measured) or [1]
    usual = repeats[len(repeats) // 2]
    return board.noise.least_difference(usual, usual)


def _losers(board: Leaderboard) -> Iterator[str]:
    """The number of jobs that did not complete, by status, and of attempts that have not started."""
    statuses = [row.status for row in board.rows if row.status is not Status.COMPLETED]
    if statuses:
        counts = ", ".join(f"{statuses.count(status)} {_ENDS[status]}" for status in dict.fromkeys(statuses))
        yield f"{len(board.rows) - len(statuses)} of {humanize.plural(len(board.rows), 'job')} completed; {counts}."
    planned = board.sweep.record.planned if board.sweep.record else 0
    attempts = [own for own in board.sweep.attempts if own.status not in (Status.REFUSED, Status.PRUNED)]
    started = sum(own.on_all_scenes for own in attempts) or len(attempts)  # the plan is that of the last rung
    if planned > started:
        yield f"{planned - started} of {humanize.plural(planned, 'run')} have not started."


def bits_in_words(board: Leaderboard) -> tuple[str, str]:
    """The number of jobs that computed the same bits, and a note on the others."""
    verdicts = [row.agreement.verdict for row in board.rows if row.agreement.verdict]
    close = [row.agreement for row in board.rows if row.agreement.verdict == agreement.CLOSE]
    apart = [own.apart for own in close if own.apart is not None]
    notes = [f"{len(board.disagreeing)} DIFFER"] if board.disagreeing else []
    most = f"within {max(apart):.1g}" if any(apart) else "equal"
    notes += [f"{len(apart)} compared by values: {most}"] if apart else []
    return f"{verdicts.count(agreement.SAME)} of {len(verdicts)}", "; ".join(notes)


def reasons_once(rows: Sequence[Row]) -> Iterator[tuple[list[Row], str]]:
    """Reasons for jobs without results; one for neighbours with the same reason, except for its numbers."""
    for (_, pattern), neighbours in groupby(rows, key=lambda row: (row.status, _NUMBERS.sub("#", row.reason or ""))):
        group = list(neighbours)
        first, jobs = group[0], ", ".join(str(row.job) for row in group)
        if pattern and len({row.reason for row in group}) > 1:
            yield group, f"jobs {jobs}, for the same reason with other numbers; job {first.job}: {first.reason}"
        elif pattern:
            yield group, f"jobs {jobs}: {first.reason}" if len(group) > 1 else str(first.reason)
