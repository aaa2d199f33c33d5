"""The polygons of a job, those of `source.area` and of `zones.file`, by the digests that pin them."""

from typing import TYPE_CHECKING, Final, NamedTuple

from runner.errors import printable
from runner.settings import JobSettings, Over

if TYPE_CHECKING:
    from runner.source.stores import Stores


class Outlines(NamedTuple):
    """Digests of the polygons that cut a stack and of those that part it; None without them."""

    area: str | None = None
    zones: str | None = None

    @property
    def recorded(self) -> dict[str, str | None]:
        """The fields of a record that have them."""
        return {"area_sha256": self.area, "zones_sha256": self.zones}

    def changed_since(self, earlier: "Outlines") -> list[tuple[str, str, str]]:
        """The settings whose polygons both have and that are not the same, with the digests, the earlier first."""
        pairs = zip(("source.area", "zones.file"), earlier, self, strict=True)
        return [(setting, before, now) for setting, before, now in pairs if before and now and before != now]


NO_OUTLINES: Final = Outlines()


def has_zones(job: JobSettings) -> bool:
    """True if a stage of the job is over zones."""
    return any(stage.over is Over.zones for stage in job.stages.values())


def typed_file(job: JobSettings, setting: str) -> str:
    """A setting of a file of polygons with its value, as it is typed."""
    files = {"source.area": job.source.area, "zones.file": job.zones.file}
    return f"{setting}={printable(files[setting] or '')}"


def outlines_of(job: JobSettings, stores: "Stores | None") -> Outlines:
    """The polygons of a job's files as they are now.

    Raises ConfigError or SourceError for a file that cannot be used: ask before anything is listed.
    """
    from runner.source.area import area_digest  # noqa: PLC0415 - rasterio, which lists of runs spare
    from runner.source.zone_files import read_features  # noqa: PLC0415 - as above

    zones = read_features(job.zones, stores).sha256 if has_zones(job) else None
    return Outlines(area_digest(job.source, stores), zones)
