"""Checks of the stages over zones and of the file of zones."""

from runner.config.value_checks import require
from runner.errors import ConfigError
from runner.reduce.statistics import statistic
from runner.settings import EngineName, Georeference, JobSettings, Over, ZonePixels, ZoneSettings


def check_zones(job: JobSettings) -> None:
    """Raise ConfigError for zones without a file, a file without a stage, and statistics that take no weights."""
    for name, stage in job.stages.items():
        known = stage.over is Over.zones or "coverage" not in stage.statistics
        require(f"stages.{name}.statistics", known, "coverage", "valid_fraction; coverage is of zones")
    names = [name for name, stage in job.stages.items() if stage.over is Over.zones]
    zones = job.zones
    if not names:
        hint = "null, or a stage over zones with it: stage@stages.zones=zonal"
        require("zones.file", zones.file is None, zones.file, hint)
        for key, value in (("zones.id", zones.id), ("zones.layer", zones.layer)):
            require(key, value is None, value, "null, since there is no stage over zones")
        return
    _check_file(names[0], zones)
    placed = job.source.georeference is Georeference.file
    why = "file, since source.georeference=none gives zones no place"
    require("source.georeference", placed, job.source.georeference.value, why)
    for name in names:
        if job.engine is EngineName.xarray:
            raise ConfigError(f"stages.{name}: engine=xarray has no zones; wanted engine=block, or another stage")
        for each in job.stages[name].statistics if zones.pixels is ZonePixels.fraction else ():
            made, wanted = statistic(each), "zones.pixels=center or all_touched, since it takes values without weights"
            require(f"stages.{name}.statistics", made.of_values is None or made.fraction is not None, each, wanted)


def _check_file(stage: str, zones: ZoneSettings) -> None:
    if zones.file is None or not zones.file.strip():
        raise ConfigError(f"stages.{stage}: zones.file has no value: give it one, such as zones.file=fields.geojson")
