"""The zones of a job's stages on the grid of a stack, and lines about them."""

from collections.abc import Iterable

from runner.base.humanize import plural
from runner.errors import OutsideError, PlanError, printable
from runner.model import Stack
from runner.planning.records import StagePlan
from runner.settings import JobSettings, ZonePixels, ZoneSettings
from runner.source.boxes import in_digits, reach_of
from runner.source.outlines import has_zones
from runner.source.stores import Stores
from runner.source.zone_files import read_features
from runner.source.zones import zones_of
from runner.zones import Zones


def stage_zones(job: JobSettings, stack: Stack, stores: Stores | None) -> Zones | None:
    """The zones of the stages over zones; None without such a stage.

    Raises ConfigError for a file that cannot be used, OutsideError if no zone has a place on the grid.
    """
    if not has_zones(job):
        return None
    zones = zones_of(job.zones, stack, stores)
    if not len(zones.names):
        raise OutsideError(
            f"zones.file={printable(job.zones.file or '')}: none of its {plural(zones.outside, 'zone')} has a pixel on "
            f"the grid of the stack, whose box is {in_digits(reach_of(stack.grid))} in {stack.grid.crs_name}; name "
            "polygons that lie there, or scenes of another place"
        )
    return zones


def refuse_unequal_weights(stages: Iterable[StagePlan]) -> None:
    """Raise PlanError for stages over zones in whose sums fractions of pixels would count differently."""
    of_fractions = (stage for stage in stages if stage.zones is not None and stage.zones.fractions)
    zonal = {stage.weights: stage.name for stage in of_fractions if stage.needs.weighted}
    if len(zonal) > 1:
        (one, name), (other, second) = sorted((weights.value, name) for weights, name in zonal.items())
        raise PlanError(
            f"stages.{name} weighs pixels by {one}, stages.{second} by {other}; wanted equal weights in all stages "
            f"over zones of zones.pixels=fraction, such as stages.{second}.weights={one}"
        )


def refuse_zones(job: JobSettings, stores: Stores) -> None:
    """Raise ConfigError or SourceError for a file of zones that cannot be used: ask before anything is listed."""
    if has_zones(job):
        read_features(job.zones, stores)


def describe_zones(settings: ZoneSettings, stages: Iterable[StagePlan]) -> list[str]:
    """Lines on the zones of a plan: how many, how many lie beyond the grid, and how many have no pixel."""
    zones = next((stage.zones for stage in stages if stage.zones is not None), None)
    if zones is None:
        return []
    total = len(zones.names) + zones.outside
    beyond = [
        f"{number} of them lie {how} beyond the grid{what}"
        for number, how, what in (
            (zones.partly, "partly", ", where their pixels do not count"),
            (zones.outside, "wholly", " and have no rows"),
        )
        if number
    ]
    lines = [", ".join([f"zones.file: {plural(total, 'zone')} of {plural(zones.runs.pixels, 'pixel')}", *beyond])]
    if zones.empty:
        touched = settings.pixels is ZonePixels.center
        remedy = "; zones.pixels=all_touched or fraction gives them some" if touched else ""
        why = "no pixel has its centre inside" if touched else "none of their pixels can count"
        lines.append(f"zones.file: {zones.empty} of them are empty, since {why}: count 0, the rest missing{remedy}")
    return lines
