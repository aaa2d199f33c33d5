"""The door: Hydra's untyped tree in, a checked `JobSettings` out, or one clear line about what is wrong."""

import os
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.redact import SECRET_NAMES, names_a_secret, redact
from runner.base.sizes import parse_bytes
from runner.base.suggest import did_you_mean, instead_of
from runner.base.tree import leaves
from runner.config.archive_checks import check_archive
from runner.config.loader import use_job_loader
from runner.config.messages import explain, no_secret
from runner.config.origins import located
from runner.config.setting_fields import fields_of
from runner.config.stac_checks import check_stac
from runner.config.vocabulary import is_option, known_keys
from runner.errors import ConfigError, expanded, is_utf8, printable
from runner.output.names import output_names
from runner.read.gdal_environment import check_option_names
from runner.reduce.statistics import check_statistic_name
from runner.settings import (
    ClusterKind,
    ClusterSettings,
    Georeference,
    JobSettings,
    MaskSettings,
    OnError,
    SourceKind,
    SourceSettings,
    StackGrid,
)
from runner.settings.source import number_or_name
from runner.source.mask_files import names_masks
from runner.source.times import TIME_GROUPS, day_range, time_groups

_GROUPS: Final = "named groups such as tile or band, not those of the date or the name of the scene"
_FREE: Final = ("gdal.options.", "source.where.")  # below which any name may stand


def register_settings() -> None:
    """Let Hydra type-check overrides against the records of `runner.settings`."""
    schema = OmegaConf.structured(JobSettings)
    OmegaConf.set_struct(schema.gdal.options, False)  # any name may be added; `check_option_names` knows them
    OmegaConf.set_struct(schema.source.where, False)  # so may any group; only the listing shows which there are
    ConfigStore.instance().store("settings", schema)
    use_job_loader()


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
    check_job(job)
    return job


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
    """Check what types cannot: limits, names, and settings that contradict each other."""
    check_limits(job)
    check_archive(job)
    if job.archive.cluster is not None:
        _check_cluster("archive.cluster", job.archive.cluster)
    _check_source(job.source)
    _check_mask(job.mask)
    check_option_names(job.gdal.options)
    for name in job.gdal.options:
        if SECRET_NAMES.search(name) or names_a_secret(f"{name}={job.gdal.options[name]}"):
            raise no_secret(f"gdal.options.{name}")
    wanted = "on_error=skip with it, or no value, since on_error=stop skips nothing"
    skips = OnError.skip in (job.on_error, job.mask.on_missing)
    _require("max_skipped", job.max_skipped is None or skips, job.max_skipped, wanted)
    _check_bytes("fetch.ahead", job.fetch.ahead, "a size such as 64MiB")
    carried = {"output.dir": job.output.dir, "source.name": job.source.name, "source.units": job.source.units or ""}
    for key, text in carried.items():
        _require(key, redact(text) == text, "[redacted]", "a text without a secret, since results carry it")
    _require("output.dir", job.output.dir.strip(), job.output.dir, "a folder; '.' is the current one")
    folder = str(expanded(job.output.dir).absolute())
    _require("output.dir", is_utf8(folder), printable(folder), "a folder whose path is UTF-8; choose or rename one")
    _refuse_equal_files(job)
    if not job.stages:
        raise ConfigError("stages is empty: keep at least one of stage@stages.spatial_mean, stage@stages.temporal_mean")
    for name, stage in job.stages.items():
        where = f"stages.{name}"
        _require(where, re.fullmatch(r"[a-z][a-z0-9_]*", name), name, "lower-case letters, digits, underscores")
        _require(f"{where}.statistics", stage.statistics, stage.statistics, "at least one statistic")
        repeated = len(set(stage.statistics)) < len(stage.statistics)
        _require(f"{where}.statistics", not repeated, stage.statistics, "each statistic once")
        for statistic in stage.statistics:
            check_statistic_name(statistic, f"{where}.statistics")
        _check_cluster(f"{where}.cluster", stage.cluster)


def check_limits(record: object, at: str = "") -> None:
    """Check every number and word of a settings record against the limits of its key. Raises ConfigError."""
    owner: type = type(record)
    for entry in fields_of(owner):
        key, value = f"{at}{entry.name}", getattr(record, entry.name)
        if entry.limits is not None and not (value is None and entry.optional):
            _require(key, entry.limits.hold(value), value, entry.limits.wanted)
        if entry.record is not None and value is not None:
            nodes = {f"{key}.{name}": node for name, node in value.items()} if entry.is_table else {key: value}
            for where, node in nodes.items():
                check_limits(node, f"{where}.")


def _refuse_equal_files(job: JobSettings) -> None:
    """Each file is one stage's."""
    owners = {"inputs.parquet": "the list of inputs"}
    if job.source.parted_by:
        owners["stacks.parquet"] = "the list of stacks"
    for name, stage in job.stages.items():
        for file in output_names(name, stage.over, stage.statistics):
            owner = owners.setdefault(file, f"stages.{name}")
            if owner != f"stages.{name}":
                first, second = sorted((owner, f"stages.{name}"))
                raise ConfigError(f"{first} and {second} would both write {file}; name one of them otherwise")


def _require(key: str, holds: object, got: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{key}={got}: wanted {wanted}")


def _check_cluster(where: str, cluster: ClusterSettings) -> None:
    kind = cluster.kind
    one_process = kind in (ClusterKind.sync, ClusterKind.threads)
    wanted = f"1 or nothing, since a cluster of kind '{kind.value}' is this one process; processes has n_workers"
    _require(f"{where}.n_workers", not one_process or cluster.n_workers in (None, 1), cluster.n_workers, wanted)
    needs_address = kind is ClusterKind.address
    wanted = "a scheduler's address (tcp://host:port)" if needs_address else "nothing, unless the cluster is 'address'"
    _require(f"{where}.address", bool(cluster.address) == needs_address, cluster.address, wanted)
    if cluster.memory_limit not in (None, "auto"):
        _check_bytes(f"{where}.memory_limit", str(cluster.memory_limit))


def _check_bytes(key: str, value: str, wanted: str = "auto or a size such as 2GiB") -> None:
    try:
        holds = parse_bytes(value) > 0
    except (ValueError, OverflowError):
        holds = False
    _require(key, holds, value, wanted)


def _check_source(source: SourceSettings) -> None:
    _require("source.name", re.fullmatch(r"[\w.-]+", source.name), source.name, "letters, digits, dots and dashes")
    for url in source.urls:
        _check_url("source.url", url, ("s3", "gs", "az", "https", "http", ""))
    _check_groups(source)
    for name, settings in (("s3", source.s3), ("gcs", source.gcs), ("azure", source.azure)):
        if settings.endpoint_url:
            _check_url(f"source.{name}.endpoint_url", settings.endpoint_url, ("http", "https"))
    wanted = "one of anonymous=true and profile, not both"
    _require("source.s3.profile", not (source.s3.anonymous and source.s3.profile), source.s3.profile, wanted)
    check_stac(source)
    limits = source.valid_range
    holds = limits is None or (len(limits) == 2 and limits[0] <= limits[1])
    _require("source.valid_range", holds, limits, "[lowest, highest]")
    _check_scale(source)
    _check_extent(source)
    day_range(source.start, source.end)
    if source.datetime_regex is not None:
        time_groups(source.datetime_regex)
    named = source.datetime_regex is not None or source.kind.names_scenes
    _require("source.datetime_regex", named, None, r"a pattern that finds the date in a key, such as (?P<date>\d{8})")


def _check_scale(source: SourceSettings) -> None:
    for key, value in (("source.scale", source.scale), ("source.offset", source.offset)):
        _require(key, value is None or isfinite(value), value, "a finite number, or null for that of the files")
        why = "null, since source.mask_and_scale=false leaves pixels as they are"
        _require(key, value is None or source.mask_and_scale, value, why)
    _require("source.scale", source.scale != 0, source.scale, "a number other than 0, by which pixels are multiplied")


def _check_groups(source: SourceSettings) -> None:
    by = source.stack_by
    for name in by:
        _require("source.stack_by", name not in TIME_GROUPS and name != "scene", by, _GROUPS)
    _require("source.stack_by", len(set(by)) == len(by), by, "each group once")
    if source.bands:
        _check_bands(source)
    for name, values in source.where.items():
        key = f"source.where.{name}"
        _require(
            key, name not in TIME_GROUPS and name != "scene", values, f"{_GROUPS}; dates have source.start and end"
        )
        items = values if isinstance(values, list) else [values]
        plain = bool(items) and all(item is None or isinstance(item, (str, int, float)) for item in items)
        _require(key, plain, values, "a value, a pattern, or a list of them")


def _check_bands(source: SourceSettings) -> None:
    bands = source.bands
    _require("source.bands", len(set(bands)) == len(bands), bands, "each band once")
    _require("source.bands", "all" not in bands or len(bands) == 1, bands, "all, or a list of bands")
    free = "band" not in source.stack_by
    _require(
        "source.stack_by", free, source.stack_by, "no group 'band', since source.bands makes a column of this name"
    )


def _check_extent(source: SourceSettings) -> None:
    placed, box = source.georeference is Georeference.file, source.bbox
    why = "since source.georeference=none gives pixels no place"
    _require("source.grid", placed or source.grid is StackGrid.same, source.grid.value, f"same, {why}")
    _require("source.bbox", placed or box is None, box, f"null, {why}")
    _require("source.area", placed or source.area is None, source.area, f"null, {why}")
    lone = source.area_layer is not None and source.area is None
    _require("source.area_layer", not lone, source.area_layer, "null, or source.area with it")
    holds = box is None or (len(box) == 4 and all(map(isfinite, box)) and box[0] < box[2] and box[1] < box[3])
    _require("source.bbox", holds, box, "[west, south, east, north], west below east and south below north")


def _check_mask(mask: MaskSettings) -> None:
    _check_replacements("mask.href.replace", mask.href.replace)
    tests = {"bits": mask.bits, "values": mask.values, "keep": mask.keep}
    given = [f"mask.{name}" for name, numbers in tests.items() if numbers is not None]
    for name, numbers in tests.items():
        _require(f"mask.{name}", numbers != [], "[]", "at least one number, or null")
    _require("mask.bits", min(mask.bits or [0]) >= 0, mask.bits, "bits from 0 on")
    if names_masks(mask):
        wanted = "one of mask.bits, mask.values and mask.keep, since a mask is named"
        wanted += f"; leave out the others, such as {given[0]}=null" if len(given) > 1 else ""
        _require("mask", len(given) == 1, f"{{{', '.join(given)}}}", wanted)
    else:
        example = "a mask, as by mask.href.replace=[SR_B4,QA_PIXEL] or mask.asset=qa_pixel"
        _require(given[0] if given else "mask", not given, next(filter(None, tests.values()), None), example)
        _require("mask.on_missing", mask.on_missing is OnError.stop, mask.on_missing.value, example)


def _check_replacements(key: str, words: list[str] | None) -> None:
    if words is None:
        return
    wanted = "a regular expression and the text that takes its place, such as [SR_B4, QA_PIXEL], or several such pairs"
    _require(key, words and len(words) % 2 == 0, words, wanted)
    for pattern, text in zip(words[::2], words[1::2], strict=True):
        try:
            re.sub(f"(?:{pattern})|", text, "")
        except (re.error, IndexError) as error:
            raise ConfigError(f"{key}: '{pattern}' and '{text}': {error}; wanted {wanted}") from error


def _number(key: str, value: object) -> float | int | None:
    """A number, of digits exactly as they are; also from text, since a record holds NaN as such."""
    text = str(value)
    try:
        number = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
        float(number)  # of too many digits, none
    except (ValueError, OverflowError):
        _require(key, value is None, value, "a number that float64 or a 64-bit integer holds, or null")
        return None
    return number


def _numbers_and_names(bands: object) -> object:
    """A list of bands, numbers as such; a word alone is a list of one."""
    if isinstance(bands, (str, int)):
        bands = [bands]
    return [*map(number_or_name, bands)] if isinstance(bands, list) else bands


def _check_url(key: str, url: str, schemes: tuple[str, ...]) -> None:
    scheme, mark, rest = url.partition("://")
    if "@" in rest.partition("/")[0]:
        raise ConfigError(f"{key} holds a user name or password: leave it to the environment (AWS_PROFILE, AWS_*)")
    *names, last = [f"{scheme}://..." if scheme else "a path" for scheme in schemes]
    wanted = f"{', '.join(names)} or {last}"
    wanted += "; Azure's abfs:// is az:// here" if scheme.startswith("abfs") else ""
    if mark and scheme in schemes:
        example = f"{scheme}://bucket/*" if scheme in ("s3", "gs", "az") else f"{scheme}://host:9000"
        _require(key, _has_place(url), url, f"a place after ://, as in {example}")
    drive = os.name == "posix" and re.match(r"[A-Za-z]:[\\/]|\\\\", url)
    _require(key, not drive, url, f"{wanted}, as this machine has them; WSL finds C:\\data as /mnt/c/data")
    _require(key, url.strip() and (scheme if mark else "") in schemes, url, wanted)


def _has_place(url: str) -> bool:
    """Tell if a bucket, or a host without spaces and with a port that there is, follows the scheme."""
    scheme, _, place = url.partition("://")
    if scheme in ("s3", "gs", "az"):  # the bucket may have been blanked out, which urlsplit takes for an address
        return not place.startswith("/") and bool(place)
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and " " not in parts.netloc
    except ValueError:
        return False


# --- keys -------------------------------------------------------------------------------------------------------


def _refuse_unknown_keys(tree: DictConfig) -> None:
    known = set(known_keys(stages=tuple(tree.stages)))
    for key, value in leaves(OmegaConf.to_container(tree)):
        if key.rsplit(".", 1)[-1].startswith("_") and key.rsplit(".", 1)[-1].endswith("_"):
            raise ConfigError(f"{key}: a config holds values only; kinds and statistics are chosen by name")
        if key not in known and not key.startswith(_FREE):
            raise ConfigError(f"{key}: there is no such setting{instead_of(key, known)}")
        nested = isinstance(value, list) and any(isinstance(one, (list, dict)) for one in value)
        _require(key, not nested, value, "a list of plain values, such as [a, b]")


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
