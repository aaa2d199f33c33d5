"""A sweep's leaderboard, from its folder alone: which job is best, by how much, and whether all computed the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from runner.command import COMMAND
from runner.log.report import text
from runner.sweep import bits
from runner.sweep.attempts import Sweep, read_sweep
from runner.sweep.names import name_rows
from runner.sweep.ranking import Noise, tie
from runner.sweep.rows import Row, ranked, rows_of


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A sweep's jobs, best first, those without a rank last; `noise` is that of the first objective."""

    sweep: Sweep
    rows: tuple[Row, ...]
    noise: Noise
    names: dict[int, str]  # what tells each job from the others, in words
    files: tuple[Path, ...] = ()  # what was written
    notes: tuple[str, ...] = ()  # what could not be

    @property
    def best(self) -> Row | None:
        """The winner; None if nothing completed, or the jobs' values disagree, since then nobody knows who is right."""
        first = next((row for row in self.rows if row.rank), None)
        return None if self.disagreeing else first

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
    return Leaderboard(sweep, tuple(rows), noise, name_rows(rows))


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
            f"NOT THE SAME {what}: {text.plural(len(board.disagreeing), 'job')} computed other values than job "
            f"{against} and those like it: {jobs}. No winner is named; {COMMAND} log diff shows where two runs "
            "differ."
        )


def _difference(row: Row) -> str:
    """In what a job is not like the others."""
    said = row.agreement
    repeats = ["from one repeat to the next"] if row.job == said.reference else []
    apart = [] if said.apart is None else [f"by up to {said.apart:.2g}, where {bits.TOLERANCE:g} may be rounding"]
    return ", ".join([*repeats, *said.differs_in, *apart])


def _winner(board: Leaderboard) -> Iterator[str]:
    best, objective = board.best, board.sweep.objective[0]
    if best is None:
        if not board.disagreeing:
            yield "No job completed, so there is no winner."
        return
    word = "Fastest" if objective == "wall" else "Least memory"
    ties = [row for row in board.rows if row.rank == best.rank and row is not best]
    if ties and len(ties) + 1 == sum(row.rank is not None for row in board.rows):
        word = f"All {len(ties) + 1} jobs tie; {word.lower()} by a little"
    yield f"{word}: {board.names[best.job]}: {_figures(best, objective)}{_against_baseline(board, best)}."
    if ties:
        others = "; ".join(board.names[row.job] for row in ties[:3])
        more = f" and {len(ties) - 3} more" if len(ties) > 3 else ""
        yield f"It ties with {text.plural(len(ties), 'other')}: {others}{more}. {tie_rule(board)}"
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
    return text.seconds(value) if objective == "wall" else text.size(value)


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
    return f"; {best.ratio:.3g}x the baseline's speed ({text.seconds(baseline.wall_seconds)}){same}"


def tie_rule(board: Leaderboard) -> str:
    """Which differences count as none, and why."""
    noise = board.noise
    if noise.assumed:
        return (
            "No job was repeated: differences under 10 % are taken for noise, which is an assumption (sweep.repeats)."
        )
    many = sorted(len(row.measure(board.sweep.objective[0])) for row in board.rows if row.rank)
    least = noise.least_difference(many[len(many) // 2], many[len(many) // 2])
    return f"Differences under {100 * least:.2g} % are noise, by the spread of the repeats."


def _losers(board: Leaderboard) -> Iterator[str]:
    """How many did not complete, by status, and what has not begun."""
    statuses = [row.status for row in board.rows if row.status != "COMPLETED"]
    if statuses:
        counted = ", ".join(f"{statuses.count(one)} {one}" for one in dict.fromkeys(statuses))
        yield f"{len(board.rows) - len(statuses)} of {text.plural(len(board.rows), 'job')} completed; {counted}."
    planned = board.sweep.facts.get("planned")
    rungs = [one.rung for one in board.sweep.attempts if one.status not in ("REFUSED", "PRUNED")]
    begun = rungs.count("all") or len(rungs)  # the plan is that of the last rung that has begun
    if isinstance(planned, int) and planned > begun:
        yield f"{planned - begun} of {text.plural(planned, 'run')} have not begun."


def bits_in_words(board: Leaderboard) -> tuple[str, str]:
    """How many jobs computed the same bits, and what is to be said of the others."""
    verdicts = [row.agreement.verdict for row in board.rows if row.agreement.verdict]
    close = [row.agreement for row in board.rows if row.agreement.verdict == bits.CLOSE]
    apart = [said.apart for said in close if said.apart is not None]
    notes = [f"{len(board.disagreeing)} DIFFER"] if board.disagreeing else []
    most = f"within {max(apart):.1g}" if any(apart) else "equal"
    notes += [f"{len(apart)} compared by values: {most}"] if apart else []
    return f"{verdicts.count(bits.SAME)} of {len(verdicts)}", "; ".join(notes)
