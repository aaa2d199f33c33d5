"""The whole job: every group of keys, and the keys of none."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from runner.settings.archive import ArchiveSettings
from runner.settings.choices import Action, EngineName, OnError, ReaderName
from runner.settings.limits import FROM_0, SWITCH
from runner.settings.mask import MaskSettings
from runner.settings.output import DebugSettings, OutputSettings
from runner.settings.reading import DecodeSettings, FetchSettings, GdalSettings
from runner.settings.source import SourceSettings
from runner.settings.stages import ChunkSettings, StageSettings
from runner.settings.sweep import SweepSettings
from runner.settings.zones import ZoneSettings


@dataclass(slots=True)
class JobSettings:
    """A whole job, as composed from `conf/` and the command line."""

    action: Action = Action.run
    """What to do with the job."""
    engine: EngineName = EngineName.block
    """Which engine computes."""
    reader: ReaderName = ReaderName.auto
    """Which reader reads pixels."""
    fuse: Annotated[Any, SWITCH] = "auto"
    """Read the source once for stages that have the same cluster and chunks. `auto` does so where it can,
    and `true` refuses a job in which they differ."""
    on_error: OnError = OnError.stop
    """What happens if a scene cannot be read."""
    max_skipped: Annotated[int | None, FROM_0] = None
    """Largest number of scenes that `on_error=skip` may leave out. The run fails if there are more. Null sets no
    limit."""
    fetch: FetchSettings = field(default_factory=FetchSettings)
    """Requests for byte ranges."""
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    """Decompression of tiles."""
    source: SourceSettings = field(default_factory=SourceSettings)
    """Scenes of the stack."""
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    """Run of many stacks."""
    mask: MaskSettings = field(default_factory=MaskSettings)
    """Pixels to leave out."""
    zones: ZoneSettings = field(default_factory=ZoneSettings)
    """Polygons of the stages over zones."""
    gdal: GdalSettings = field(default_factory=GdalSettings)
    """Configuration of GDAL."""
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    """Size of a task in all stages that have no `chunks` of their own."""
    stages: dict[str, StageSettings] = field(default_factory=dict)
    """Reductions of the stack by name."""
    reuse: str | None = None
    """Earlier run of the same job whose kept tasks (`output.keep_partials`) are taken over: its folder, a part of its
    name that no other has, or `last`. Only scenes that are new or have changed are read, to the same bits. Null reads
    all."""
    output: OutputSettings = field(default_factory=OutputSettings)
    """Run folder and format of rasters."""
    debug: DebugSettings = field(default_factory=DebugSettings)
    """Detail of error messages."""
    sweep: SweepSettings = field(default_factory=SweepSettings)
    """How the jobs of a sweep are run."""
