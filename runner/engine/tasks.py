"""A block's task with its trace, which is made around the work and never inside its loops."""

import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np

from runner.engine.blocks import BlockResult, Reading, run_blocks
from runner.engine.trace import NOTE, Task, TaskTrace, Work, here
from runner.host.memory import peak_bytes
from runner.plan.records import Block
from runner.read.fetch import StoppedError


def run_traced(reading: Reading, tasks: Iterator[Task]) -> Generator[tuple[BlockResult, TaskTrace], None, None]:
    """Run blocks, and say what each was. An error carries it too, for `trace_of`. Raises ReadError."""
    taken: deque[Task] = deque()  # the one under way first, then those whose ranges are fetched ahead

    def blocks() -> Iterator[Block]:
        for task in tasks:
            taken.append(task)
            yield task.block

    with closing(run_blocks(reading, blocks())) as results:
        while True:
            started = time.time()
            try:
                result = next(results, None)
            except StoppedError:
                raise  # given up from outside, no failure of its own
            except Exception as error:
                if taken:
                    reason = f"{type(error).__name__}: {error}"
                    vars(error)[NOTE] = TaskTrace(*taken[0], here(), started, time.time(), peak_bytes(), error=reason)
                raise
            if result is None:
                return
            done = taken.popleft()
            yield result, TaskTrace(*done, here(), started, time.time(), peak_bytes(), work=_work_of(result))


def _work_of(result: BlockResult) -> Work:
    fetched, block = result.fetched, result.block
    partial = result.over_space or result.over_time  # the counts over space are fewer to add
    assert partial is not None  # whatever a stage asks for, its pixels are counted
    narrow = (block.stop - block.start) * block.window.height * block.window.width < 2**31  # and four times as fast
    return Work(
        fetch_seconds=fetched.wait_seconds,
        decode_seconds=max(0.0, result.read_seconds - fetched.wait_seconds),
        reduce_seconds=result.reduce_seconds,
        bytes=fetched.bytes,
        requests=fetched.requests,
        retries=fetched.retries,
        valid=int(partial.counts.sum(dtype=np.int32 if narrow else np.int64)),
        compile_seconds=result.compile_seconds,
    )
