"""Progress of the writing of large rasters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from runner.base.console import progress_bar
from runner.model import Grid
from runner.output.block_coder import BLOCK
from runner.planning.records import Plan
from runner.settings import Over

_MANY: Final = 1000  # blocks, which take a few seconds to be written


@contextmanager
def written_blocks(plan: Plan, grid: Grid) -> Iterator[Callable[[], object]]:
    """Show the blocks of rasters that are written, if they are many; call what is yielded for each."""
    rasters = sum(len(stage.layers) for stage in plan.stages if stage.over is Over.time)
    total, number = rasters * blocks_of(grid.height, grid.width), count(1)
    if total < _MANY:
        yield int
        return
    with progress_bar("writing") as bar:
        yield lambda: bar(next(number), total)


def blocks_of(height: int, width: int) -> int:
    """The number of blocks of a band of this size and of its overviews."""
    blocks = -(-height // BLOCK) * -(-width // BLOCK)
    return blocks if max(height, width) <= BLOCK else blocks + blocks_of(-(-height // 2), -(-width // 2))
