"""How a sweep ends: its table is kept whatever happened, and what went wrong is its exit code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.base.console import complain, tell
from runner.base.humanize import relative_path
from runner.errors import RunnerError, SweepError
from runner.leaderboard.jobs import TROUBLE, Status
from runner.leaderboard.sweep_folder import SweepFolder


def refuse_trouble(sweep: SweepFolder) -> None:
    """Raise SweepError if a run did not come to its end, or none was run to it."""
    records, folder = sweep.records(), relative_path(sweep.path)
    trouble = [record.status for record in records if record.status in TROUBLE]
    if not trouble and any(record.status is Status.COMPLETED for record in records):
        return
    kinds = ", ".join(f"{trouble.count(kind)} {kind}" for kind in Status if kind in trouble)
    what = f"{len(trouble)} of {len(records)} runs did not complete ({kinds})" if trouble else "no job was run"
    raise SweepError(
        f"{what}; job.json in each folder of {folder} says why, and the same command with sweep.resume={folder} "
        "runs those again"
    )


@contextmanager
def table_kept(folder: Path, prepare: Callable[[], None], *, whole: bool) -> Iterator[None]:
    """Write and show the table after the block, whatever ended it.

    Raises SweepError if the jobs of a `whole` sweep disagree in their bits.
    """
    try:
        yield
    except BaseException:
        _keep_table(folder, prepare)
        raise
    disagreeing = _keep_table(folder, prepare)
    if disagreeing and whole:
        raise SweepError(
            f"{disagreeing} jobs computed other bits than the rest, as the table in {relative_path(folder)} says"
        )


def _keep_table(folder: Path, prepare: Callable[[], None]) -> int:
    """How many jobs have other bits. What keeps the table from being made is told, and changes no outcome."""
    from runner.leaderboard.show import show_leaderboard, write_leaderboard  # noqa: PLC0415 - at the end alone

    try:
        prepare()
        board = write_leaderboard(folder)
        show_leaderboard(board)
    except RunnerError as error:
        complain(str(error))
        return 0
    finally:
        tell(f"sweep folder: {relative_path(folder)}")
    return len(board.disagreeing)
