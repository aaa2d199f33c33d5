"""The polygons of a run, `source.area` and `zones.file`: recorded by their digests, and held against them later."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runner.base.humanize import relative_path
from runner.base.tree import flat
from runner.errors import SourceError, printable
from runner.record.run_folder import RunFolder
from runner.source.outlines import Outlines, typed_file

if TYPE_CHECKING:
    from runner.model import Stack
    from runner.planning.records import Plan
    from runner.record.run_record import RunRecord
    from runner.settings import JobSettings


def recorded_outlines(earlier: RunFolder) -> Outlines:
    """The polygons that a run has recorded: of its stack, or for all stacks of its archive."""
    facts = earlier.record.stack or earlier.record.archive
    return Outlines(facts.area_sha256, facts.zones_sha256) if facts else Outlines()


def refuse_changed_outlines(earlier: RunFolder, job: "JobSettings", outlines: Outlines) -> None:
    """Raise SourceError for a file of source.area or zones.file whose polygons are not the recorded ones.

    Another file, or layer, may hold others.
    """
    config = flat(earlier.config)
    files = {
        "source.area": {"source.area": job.source.area, "source.area_layer": job.source.area_layer},
        "zones.file": {"zones.file": job.zones.file, "zones.layer": job.zones.layer, "zones.id": job.zones.id},
    }
    for setting, before, now in outlines.changed_since(recorded_outlines(earlier)):
        if all(config.get(key) == value for key, value in files[setting].items()):
            raise SourceError(
                f"{setting}={printable(str(config[setting]))}: its polygons have changed since they were recorded "
                f"(SHA-256 {before[:16]}, now {now[:16]}); bring the file back, or name another as {setting}"
            )


def refuse_other_outlines(earlier: RunFolder, job: "JobSettings", outlines: Outlines) -> None:
    """Raise SourceError for polygons of source.area or zones.file that are not the recorded ones, whatever their file.

    Values that were computed with these cannot be computed again.
    """
    for setting, before, now in outlines.changed_since(recorded_outlines(earlier)):
        raise SourceError(
            f"{typed_file(job, setting)}: its polygons are not those of {relative_path(earlier.path)} "
            f"(SHA-256 {now[:16]}, then {before[:16]}); bring the file back, or name it: -- {setting}=FILE"
        )


def describe_changed_outlines(earlier: RunFolder, job: "JobSettings", outlines: Outlines) -> list[str]:
    """A line for each file whose polygons are not those of a run that is reused."""
    stages = {"source.area": "all stages", "zones.file": "stages over zones and those that read with them"}
    where = relative_path(earlier.path)
    return [
        f"{typed_file(job, setting)}: its polygons are not those of {where}, so that "
        f"{stages[setting]} read all scenes anew; to take over what {where} has kept, bring its file back"
        for setting, _, _ in outlines.changed_since(recorded_outlines(earlier))
    ]


def record_outlines(record: "RunRecord", stack: "Stack", plan: "Plan", expected: Outlines) -> None:
    """Record the polygons that a plan is of. Raises SourceError for others than the run has begun with."""
    zones = next((stage.zones for stage in plan.stages if stage.zones), None)
    outlines = Outlines(stack.area.sha256 if stack.area else None, zones.file_sha256 if zones else None)
    for setting, before, now in outlines.changed_since(expected):
        raise SourceError(
            f"{setting}: its polygons changed during the run (SHA-256 {before[:16]}, now {now[:16]}); bring the file "
            "back, and resume; or run anew"
        )
    if record.run.stack and any(outlines):
        met = len(zones.names) if zones else None
        record.change(stack=replace(record.run.stack, **outlines.recorded, zones=met))
