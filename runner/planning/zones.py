"""The zones of a job's stages on the grid of a stack, and lines about them."""

from collections.abc import Iterable, Sequence

from runner.base.humanize import listed, plural
from runner.errors import OutsideError, PlanError, printable
from runner.model import Stack
from runner.planning.records import StagePlan
from runner.settings import JobSettings, ZonePixels, ZoneSettings
from runner.source.boxes import in_digits, reach_of
from runner.source.outlines import has_zones
from runner.source.stores import Stores
from runner.source.zone_files import read_features
from runner.source.zones import zones_of
from runner.zones import MOST_NAMED, Zones


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
    parts = [f"{zones.key}: {plural(total, 'zone')} of {plural(zones.runs.pixels, 'pixel')}"]
    if zones.partly:
        verb = "lies" if zones.partly == 1 else "lie"
        parts.append(f"{zones.partly} {verb} partly beyond the grid, where pixels do not count")
    if zones.outside:
        verb, has = ("lies", "has") if zones.outside == 1 else ("lie", "have")
        named = named_zones(zones.outside_named, zones.outside)
        parts.append(f"{zones.outside} {verb} wholly beyond it and {has} no rows: {named}")
    return ["; ".join(parts), *_describe_empty(settings, zones)]


def _describe_empty(settings: ZoneSettings, zones: Zones) -> list[str]:
    if not zones.empty:
        return []
    verb, them = ("is", "it") if zones.empty == 1 else ("are", "them")
    touched = settings.pixels is ZonePixels.center
    remedy = f"; zones.pixels=all_touched or fraction gives {them} some" if touched else ""
    why = "no pixel has its centre inside" if touched else f"no pixel of {them} can count"
    named = named_zones([str(name) for name in zones.names[zones.pixels == 0][:MOST_NAMED]], zones.empty)
    what = "count 0, the rest missing"
    return [f"{zones.key}: {plural(zones.empty, 'zone')} {verb} empty, since {why}: {named}; {what}{remedy}"]


def named_zones(first: Sequence[str], number: int) -> str:
    """The first of so many zones, and how many more there are."""
    return listed([*map(printable, first)], MOST_NAMED, total=number)
