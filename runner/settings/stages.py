"""The keys of a stage: its statistics and its chunks."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from runner.settings.choices import Over, Weights
from runner.settings.cluster import ClusterSettings
from runner.settings.limits import FROM_0, GROUPS, PIXELS, SCENES


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
class StageSettings:
    """A reduction of the stack, with statistics, a cluster and chunks of its own."""

    over: Over = "???"  # type: ignore[assignment]  # omegaconf's mark of a value that has to be given
    """Which axes the stage reduces."""
    statistics: list[str] = field(default_factory=lambda: ["mean", "count"])
    """Statistics to compute: `count`, `valid_fraction`, `sum`, `mean`, `min`, `max`, `range`, `var`, `std`, `cv`,
    `median`, quantiles such as `q05` or `q99_9`, and those of other packages. Over time also `slope`, `slope_stderr`,
    `first`, `last`, `theil_sen`, `mann_kendall` and `mann_kendall_p`."""
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    """Workers of the stage."""
    chunks: ChunkSettings | None = None
    """Size of a task of this stage. Null takes the `chunks` of the job."""
    min_count: Annotated[int, FROM_0] = 1
    """Least number of valid pixels behind a value. A value with fewer is missing."""
    weights: Weights = Weights.auto
    """How pixels are weighted over space in `mean`, `var`, `std`, `cv` and `valid_fraction`."""
    group_by: Annotated[Any, GROUPS] = None
    """Groups of the scenes of a stage over time, each of which gets rasters of its own: `month`, `season`, `year`,
    `year_month`, `year_season`, `week`, `date`, `day_of_year`, a named group such as `orbit`, or a list such as
    `[orbit,year]`. Null takes all scenes together."""

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """The keys of `group_by`; none if all scenes are taken together."""
        return (self.group_by,) if isinstance(self.group_by, str) else tuple(self.group_by or ())
