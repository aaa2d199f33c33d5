"""The keys of a stage: its statistics, its cluster and its chunks."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from runner.settings.choices import ClusterKind, Over, Weights
from runner.settings.limits import FROM_0, FROM_1, PIXELS, SCENES, SECONDS


@dataclass(slots=True)
class ChunkSettings:
    """The size of a task: scenes by rows by columns.

    The sizes are typed as Any since OmegaConf 2.3 cannot merge `int | str` into an optional record.
    """

    time: Annotated[Any, SCENES] = "auto"
    """Scenes in a task: a number, `all`, or `auto` to leave the choice to the runner."""
    y: Annotated[Any, PIXELS] = "auto"
    """Rows in a task: a number, `block` for the block height of the files, `all`, or `auto`."""
    x: Annotated[Any, PIXELS] = "auto"
    """Columns in a task: a number, `block` for the block width of the files, `all`, or `auto`."""
    snap: bool = True
    """Round `y` and `x` up to whole blocks of the files, so that no block is decoded twice."""


@dataclass(slots=True)
class ClusterSettings:
    """The workers of a stage."""

    kind: ClusterKind = ClusterKind.threads
    """Which cluster runs the stage."""
    n_workers: Annotated[int | None, FROM_1] = None
    """Number of worker processes. Null starts one per core, or waits for one worker at an `address`."""
    threads_per_worker: Annotated[int | None, FROM_1] = None
    """Number of threads in each worker. Null is one per core for `threads`, and 1 for `processes`."""
    memory_limit: str | None = None
    """Memory of each worker, such as `2GiB`. `auto` or null shares the memory of this machine evenly."""
    address: str | None = None
    """Address of the scheduler for the kind `address`, such as `tcp://host:8786`."""
    start_timeout: Annotated[float, SECONDS] = 60.0
    """Seconds to wait for the first worker."""
    silent_timeout: Annotated[float, SECONDS] = 60.0
    """Seconds without an answer after which a worker is given up and its tasks go to others."""


@dataclass(slots=True)
class StageSettings:
    """A reduction of the stack, with statistics, a cluster and chunks of its own."""

    over: Over = "???"  # type: ignore[assignment]  # omegaconf's mark of a value that has to be given
    """Which axes the stage reduces."""
    statistics: list[str] = field(default_factory=lambda: ["mean", "count"])
    """Statistics to compute: `count`, `valid_fraction`, `sum`, `mean`, `min`, `max`, `var`, `std`, `median`, quantiles
    such as `q05` or `q99_9`, and those of other packages."""
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    """Workers of the stage."""
    chunks: ChunkSettings | None = None
    """Size of a task of this stage. Null takes the `chunks` of the job."""
    min_count: Annotated[int, FROM_0] = 1
    """Least number of valid pixels behind a value. A value with fewer is missing."""
    weights: Weights = Weights.auto
    """How pixels are weighted over space in `mean`, `var`, `std` and `valid_fraction`."""
