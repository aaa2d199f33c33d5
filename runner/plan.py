"""What a run will read, known before any cluster starts."""

from dataclasses import dataclass

from runner.errors import PlanError
from runner.model import Stack
from runner.settings import ChunkSettings, ClusterSettings, JobSettings, Over, StageSettings

_AUTO_CHUNK_BYTES = (
    64 * 2**20
)  # of decoded pixels; a few such chunks fit any worker, and one outweighs dask's 1 ms a task


@dataclass(frozen=True, slots=True)
class Chunks:
    """The size of a task: scenes by pixels by pixels."""

    time: int
    y: int
    x: int

    def count(self, shape: tuple[int, int, int]) -> int:
        """The number of tasks for a stack of `shape` (time, y, x)."""
        return -(-shape[0] // self.time) * -(-shape[1] // self.y) * -(-shape[2] // self.x)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage, resolved against the stack."""

    name: str
    over: Over
    statistics: tuple[str, ...]
    cluster: ClusterSettings
    chunks: Chunks
    tasks: int
    stored_bytes: int  # compressed bytes of every block a task touches, counted each time it is read
    decoded_bytes: int
    over_read: float  # blocks decoded, as a multiple of the blocks there are


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages of a run, in the order they run."""

    stages: tuple[StagePlan, ...]


def make_plan(job: JobSettings, stack: Stack) -> Plan:
    """Resolve every stage's chunks and state what it reads.

    Raises PlanError for a band the scenes do not have.
    """
    bands = stack.scenes[0].header.bands
    if not 1 <= job.source.band <= bands:
        raise PlanError(
            f"source.band={job.source.band}: the scenes have {bands} band(s), such as {stack.scenes[0].href}"
        )
    return Plan(tuple(_plan_stage(name, stage, job, stack) for name, stage in job.stages.items()))


def _plan_stage(name: str, stage: StageSettings, job: JobSettings, stack: Stack) -> StagePlan:
    chunks = resolve_chunks(stage.chunks or job.chunks, stack)
    block = stack.scenes[0].header.block_shape
    over_read = _times_read(stack.grid.height, chunks.y, block[0]) * _times_read(stack.grid.width, chunks.x, block[1])
    stored = sum(int(scene.header.layout.byte_counts.sum()) for scene in stack.scenes)
    return StagePlan(
        name=name,
        over=stage.over,
        statistics=tuple(stage.statistics),
        cluster=stage.cluster,
        chunks=chunks,
        tasks=chunks.count((len(stack.scenes), stack.grid.height, stack.grid.width)),
        stored_bytes=round(stored * over_read),
        decoded_bytes=round(len(stack.scenes) * stack.grid.pixels * stack.dtype.itemsize * over_read),
        over_read=over_read,
    )


def resolve_chunks(settings: ChunkSettings, stack: Stack) -> Chunks:
    """Turn words into numbers: `all` of an axis, a file's `block`, or what suits a task (`auto`)."""
    height, width = stack.grid.height, stack.grid.width
    block_y, block_x = stack.scenes[0].header.block_shape
    x = {"auto": width, "all": width, "block": block_x}.get(str(settings.x)) or int(settings.x)
    x = min(x, width)
    row_bytes = block_y * x * stack.dtype.itemsize
    auto_y = block_y * max(1, _AUTO_CHUNK_BYTES // row_bytes)
    y = {"auto": auto_y, "all": height, "block": block_y}.get(str(settings.y)) or int(settings.y)
    time = {"auto": 1, "all": len(stack.scenes)}.get(str(settings.time)) or int(settings.time)
    return Chunks(min(time, len(stack.scenes)), min(y, height), x)


def _times_read(size: int, chunk: int, block: int) -> float:
    """How often the blocks of an axis are decoded: 1 where chunks are whole blocks, more where they cut them."""
    touched = sum(-(-min(start + chunk, size) // block) - start // block for start in range(0, size, chunk))
    return touched / -(-size // block)
