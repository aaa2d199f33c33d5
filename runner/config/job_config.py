"""The door: Hydra's untyped tree in, a checked `JobSettings` out, or one clear line about what is wrong."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.redact import SECRET_NAMES, names_a_secret, redact
from runner.base.suggest import did_you_mean, instead_of
from runner.base.tree import leaves
from runner.config.archive_checks import check_archive
from runner.config.cluster_checks import check_cluster
from runner.config.loader import use_job_loader
from runner.config.messages import explain, no_secret
from runner.config.origins import ORIGINS, located
from runner.config.source_checks import check_mask, check_source
from runner.config.value_checks import check_bytes, check_limits, require
from runner.config.vocabulary import is_option, known_keys
from runner.config.zone_checks import check_zones
from runner.errors import ConfigError, expanded, is_utf8, printable
from runner.output.names import output_names
from runner.publish.address import address_of
from runner.read.gdal_environment import check_option_names
from runner.reduce.statistics import check_statistic_name, statistic
from runner.settings import (
    EngineName,
    JobSettings,
    Layout,
    OnError,
    Over,
    SourceKind,
    SourceSettings,
    StageSettings,
)
from runner.settings.source import number_or_name

_FREE: Final = ("gdal.options.", "source.where.")  # below which any name may stand


def register_settings() -> None:
    """Let Hydra type-check overrides against the records of `runner.settings`."""
    ConfigStore.instance().store("settings", _schema())
    use_job_loader()


@cache
def _schema() -> DictConfig:
    """Made once for a process, which may compose many jobs. The store copies it."""
    schema = OmegaConf.structured(JobSettings)
    OmegaConf.set_struct(schema.gdal.options, False)  # any name may be added; `check_option_names` knows them
    OmegaConf.set_struct(schema.source.where, False)  # so may any group; only the listing shows which there are
    assert isinstance(schema, DictConfig)
    return schema


def read_job(tree: DictConfig, choices: dict[str, Any]) -> JobSettings:
    """Check the composed tree and turn it into a record; `choices` is Hydra's group -> option table.

    Raises ConfigError that names the key, what it got, what was wanted; and the file and line, if it is from a file.
    """
    try:
        return _read_job(tree, choices)
    except ConfigError as error:
        raise located(error) from error.__cause__


def _read_job(tree: DictConfig, choices: dict[str, Any]) -> JobSettings:
    for group, option in choices.items():
        if ".." in Path(str(option)).parts or Path(str(option)).is_absolute():
            raise ConfigError(f"{group}={option}: an option is a file of a config folder and cannot lie outside of it")
    _refuse_unknown_keys(tree)
    refuse_secrets(tree)
    try:
        missing = sorted(OmegaConf.missing_keys(tree))
        if missing:
            raise _no_value(tree, missing[0])
        job = OmegaConf.to_object(tree)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    assert isinstance(job, JobSettings)
    job.source.nodata = _number("source.nodata", job.source.nodata)
    job.source.band = number_or_name(job.source.band)
    job.source.bands = _numbers_and_names(job.source.bands)
    if choices.get("source"):
        _refuse_source_without_dates(job.source, str(choices["source"]))
    _refuse_band_beside_bands(job.source)
    check_job(job)
    return job


def _refuse_band_beside_bands(source: SourceSettings) -> None:
    """Raise ConfigError for an override that would be ignored. A file's own band is a default, which bands replace."""
    if source.bands and ORIGINS.overridden("source.band"):
        listed = ",".join(map(str, source.bands))
        bands = listed if listed == "all" else f"[{listed}]"
        raise ConfigError(
            f"source.band={source.band}: wanted no value, since source.bands={bands} says which bands "
            "are read; leave out one of both (source.bands=null reads one band)"
        )


def overrides_of_job(hydra: Any, typed: Sequence[str]) -> list[str]:
    """The overrides of one job: as they were typed, but for the jobs of a multirun, which share a command line."""
    if hydra.mode is RunMode.MULTIRUN:
        return typed_words(hydra)
    return [word for word in typed if not re.match(r"[+~]*hydra[./]", word)]


def typed_words(hydra: Any, kind: str = "task") -> list[str]:
    """The overrides of the command line as Hydra reads them, interpolations as they are; of `kind` hydra, its own."""
    plain = OmegaConf.to_container(hydra.overrides)
    assert isinstance(plain, dict)
    return [str(word) for word in plain[kind]]


def resolved(tree: DictConfig) -> dict[str, Any]:
    """The composed tree as plain values, interpolations resolved, enums by name; without a sweep's settings."""
    plain = OmegaConf.to_container(tree, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "sweep"}


# --- values -----------------------------------------------------------------------------------------------------


def check_job(job: JobSettings) -> None:
    """Check what types cannot: limits, names, and settings that contradict each other. Raises ConfigError."""
    check_limits(job)
    check_archive(job)
    if job.archive.cluster is not None:
        check_cluster("archive.cluster", job.archive.cluster)
    check_source(job.source)
    check_mask(job.mask)
    check_option_names(job.gdal.options)
    for name in job.gdal.options:
        if SECRET_NAMES.search(name) or names_a_secret(f"{name}={job.gdal.options[name]}"):
            raise no_secret(f"gdal.options.{name}")
    wanted = "on_error=skip with it, or no value, since on_error=stop skips nothing"
    skips = OnError.skip in (job.on_error, job.mask.on_missing)
    require("max_skipped", job.max_skipped is None or skips, job.max_skipped, wanted)
    by_blocks = job.source.min_valid_fraction is None or job.engine is EngineName.block
    where = "null, or engine=block, which keeps the sums that scenes are taken out of"
    require("source.min_valid_fraction", by_blocks, job.source.min_valid_fraction, where)
    check_bytes("fetch.ahead", job.fetch.ahead, "a size such as 64MiB")
    carried = {"output.dir": job.output.dir, "source.name": job.source.name, "source.units": job.source.units or ""}
    carried["output.upload"] = job.output.upload or ""
    for key, text in carried.items():
        require(key, redact(text) == text, "[redacted]", "a text without a secret, since results carry it")
    require("output.dir", job.output.dir.strip(), job.output.dir, "a folder; '.' is the current one")
    folder = str(expanded(job.output.dir).absolute())
    require("output.dir", is_utf8(folder), printable(folder), "a folder whose path is UTF-8; choose or rename one")
    wanted = "a folder of this machine; output.upload takes the address of a bucket for complete results"
    require("output.dir", not re.search(r"(^|/)[a-z0-9]{2,}:/", job.output.dir), job.output.dir, wanted)
    if job.output.upload is not None:
        address_of(job.output.upload)
    _refuse_equal_files(job)
    if not job.stages:
        raise ConfigError("stages is empty: keep at least one of stage@stages.spatial_mean, stage@stages.temporal_mean")
    for name, stage in job.stages.items():
        _check_stage(name, stage)
    check_zones(job)


def _check_stage(name: str, stage: StageSettings) -> None:
    where = f"stages.{name}"
    require(where, re.fullmatch(r"[a-z][a-z0-9_]*", name), name, "lower-case letters, digits, underscores")
    require(f"{where}.statistics", stage.statistics, stage.statistics, "at least one statistic")
    repeated = len(set(stage.statistics)) < len(stage.statistics)
    require(f"{where}.statistics", not repeated, stage.statistics, "each statistic once")
    for one in stage.statistics:
        check_statistic_name(one, f"{where}.statistics", stage.over)
    _refuse_change_over_space(name, stage)
    check_cluster(f"{where}.cluster", stage.cluster)
    _check_groups(f"{where}.group_by", stage)


def _check_groups(key: str, stage: StageSettings) -> None:
    """Which named groups there are, only the listing shows."""
    by = stage.grouped_by
    table = (
        f"null, since a stage over {stage.over.value} has rows for each scene; tables have the named groups as columns"
    )
    require(key, not by or stage.over is Over.time, ",".join(by), table)
    require(key, len(set(by)) == len(by) and all(map(str.strip, by)), ",".join(by), "each group once")


def _refuse_change_over_space(name: str, stage: StageSettings) -> None:
    """Raise ConfigError for statistics of time in a stage that is not over time."""
    timed = [one for one in stage.statistics if statistic(one).over_time] if stage.over is not Over.time else []
    if timed:
        raise ConfigError(
            f"stages.{name}.statistics: {', '.join(timed)} follow{'s' * (len(timed) == 1)} each pixel through the "
            f"scenes, and stages.{name} is over {stage.over.value}; ask a stage over time for it, such as "
            f"stages.temporal_mean.statistics=[{','.join(['mean', *timed])}]"
        )


def _refuse_equal_files(job: JobSettings) -> None:
    """Each file is one stage's."""
    owners = {"inputs.parquet": "the list of inputs"}
    if job.source.parted_by:
        owners["stacks.parquet"] = "the list of stacks"
    for name, stage in job.stages.items():
        of_groups = stage.grouped_by and job.output.layout is Layout.files  # whose names follow from the scenes
        names = () if of_groups else output_names(name, stage.over, stage.statistics, job.output.layout)
        for file in names:
            owner = owners.setdefault(file, f"stages.{name}")
            if owner != f"stages.{name}":
                first, second = sorted((owner, f"stages.{name}"))
                raise ConfigError(f"{first} and {second} would both write {file}; name one of them otherwise")


def _number(key: str, value: object) -> float | int | None:
    """A number, of digits exactly as they are; also from text, since a record holds NaN as such."""
    text = str(value)
    try:
        number = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
        float(number)  # of too many digits, none
    except (ValueError, OverflowError):
        require(key, value is None, value, "a number that float64 or a 64-bit integer holds, or null")
        return None
    return number


def _numbers_and_names(bands: object) -> object:
    """A list of bands, numbers as such; a word is split at its commas."""
    if isinstance(bands, (str, int)):
        bands = [band.strip() for band in str(bands).split(",")]
    return [*map(number_or_name, bands)] if isinstance(bands, list) else bands


# --- keys -------------------------------------------------------------------------------------------------------


def _refuse_unknown_keys(tree: DictConfig) -> None:
    known = set(known_keys(stages=tuple(tree.stages)))
    for key, value in leaves(OmegaConf.to_container(tree)):
        if key.rsplit(".", 1)[-1].startswith("_") and key.rsplit(".", 1)[-1].endswith("_"):
            raise ConfigError(f"{key}: a config holds values only; kinds and statistics are chosen by name")
        if key not in known and not key.startswith(_FREE):
            raise ConfigError(f"{key}: there is no such setting{instead_of(key, known)}")
        nested = isinstance(value, list) and any(isinstance(one, (list, dict)) for one in value)
        require(key, not nested, value, "a list of plain values, such as [a, b]")


def refuse_secrets(tree: DictConfig) -> None:
    """Refuse what must not, or cannot, be written down with the results, wherever it was set. Raises ConfigError."""
    for key, value in leaves(OmegaConf.to_container(tree)):
        if isinstance(value, str) and names_a_secret(value):
            raise no_secret(key)
        if isinstance(value, str) and not is_utf8(value):
            raise ConfigError(f"{key}={printable(value)}: wanted UTF-8; rename what it names")


def _no_value(tree: DictConfig, key: str) -> ConfigError:
    node, _, name = key.rpartition(".")
    examples = {"address": "tcp://127.0.0.1:8786", "over": "space"}
    urls = {SourceKind.manifest: "scenes.csv", SourceKind.stac: "items.json or https://stac.example.org/v1"}
    examples["url"] = urls.get(tree.source.kind, "'/data/**/*.tif' or 's3://bucket/prefix/**/*.tif'")
    examples["asset"] = "red"
    others = [f"stages.{stage}" for stage in tree.stages if f"stages.{stage}" != node]
    near = did_you_mean(node, others) if name == "over" else ""
    return ConfigError(f"{key} has no value: give it one, such as {key}={examples.get(name, '...')}{near}")


def _refuse_source_without_dates(source: SourceSettings, option: str) -> None:
    """A source of the user's own that does not begin with one of ours lacks what ours say."""
    lacks = source.datetime_regex is None and not source.kind.names_scenes
    if lacks and not is_option("source", option):
        raise ConfigError(
            f"source/{option}.yaml: source.datetime_regex has no value; let the file begin with `defaults: [local, "
            "_self_]`, which has one for eight digits, or give a pattern such as (?P<date>\\d{8})"
        )
