"""Checks of the source and of masks: addresses, groups, bands, boxes, and settings that contradict each other."""

import os
import re
from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.parse import urlsplit

from runner.config.stac_checks import check_stac
from runner.config.value_checks import require
from runner.errors import ConfigError
from runner.settings import Georeference, MaskSettings, OnError, SourceSettings, StackGrid
from runner.source.mask_files import names_masks
from runner.source.times import TIME_GROUPS, day_range, time_groups

_GROUPS: Final = "named groups such as tile or band, not those of the date or the name of the scene"


def check_source(source: SourceSettings) -> None:
    """Raise ConfigError for a source that cannot be."""
    require("source.name", re.fullmatch(r"[\w.-]+", source.name), source.name, "letters, digits, dots and dashes")
    for url in source.urls:
        _check_url("source.url", url, ("s3", "gs", "az", "https", "http", ""))
    _check_groups(source)
    for name, settings in (("s3", source.s3), ("gcs", source.gcs), ("azure", source.azure)):
        if settings.endpoint_url:
            _check_url(f"source.{name}.endpoint_url", settings.endpoint_url, ("http", "https"))
    wanted = "one of anonymous=true and profile, not both"
    require("source.s3.profile", not (source.s3.anonymous and source.s3.profile), source.s3.profile, wanted)
    check_stac(source)
    limits = source.valid_range
    holds = limits is None or (len(limits) == 2 and limits[0] <= limits[1])
    require("source.valid_range", holds, limits, "[lowest, highest]")
    _check_scale(source)
    _check_extent(source)
    day_range(source.start, source.end)
    if source.datetime_regex is not None:
        time_groups(source.datetime_regex)
    named = source.datetime_regex is not None or source.kind.names_scenes
    require("source.datetime_regex", named, None, r"a pattern that finds the date in a key, such as (?P<date>\d{8})")


def _check_scale(source: SourceSettings) -> None:
    for key, value in (("source.scale", source.scale), ("source.offset", source.offset)):
        require(key, value is None or isfinite(value), value, "a finite number, or null for that of the files")
        why = "null, since source.mask_and_scale=false leaves pixels as they are"
        require(key, value is None or source.mask_and_scale, value, why)
    require("source.scale", source.scale != 0, source.scale, "a number other than 0, by which pixels are multiplied")


def _check_groups(source: SourceSettings) -> None:
    by = source.stack_by
    for name in by:
        require("source.stack_by", name not in TIME_GROUPS and name != "scene", by, _GROUPS)
    require("source.stack_by", len(set(by)) == len(by), by, "each group once")
    if source.bands:
        _check_bands(source)
    for name, values in source.where.items():
        key = f"source.where.{name}"
        require(key, name not in TIME_GROUPS and name != "scene", values, f"{_GROUPS}; dates have source.start and end")
        items = values if isinstance(values, list) else [values]
        plain = bool(items) and all(item is None or isinstance(item, (str, int, float)) for item in items)
        require(key, plain, values, "a value, a pattern, or a list of them")


def _check_bands(source: SourceSettings) -> None:
    bands = source.bands
    require("source.bands", len(set(bands)) == len(bands), bands, "each band once")
    require("source.bands", "all" not in bands or len(bands) == 1, bands, "all, or a list of bands")
    free = "band" not in source.stack_by
    require("source.stack_by", free, source.stack_by, "no group 'band', since source.bands makes a column of this name")


def _check_extent(source: SourceSettings) -> None:
    placed, box = source.georeference is Georeference.file, source.bbox
    why = "since source.georeference=none gives pixels no place"
    require("source.grid", placed or source.grid is StackGrid.same, source.grid.value, f"same, {why}")
    require("source.bbox", placed or box is None, box, f"null, {why}")
    require("source.area", placed or source.area is None, source.area, f"null, {why}")
    lone = source.area_layer is not None and source.area is None
    require("source.area_layer", not lone, source.area_layer, "null, or source.area with it")
    holds = box is None or (len(box) == 4 and all(map(isfinite, box)) and box[0] < box[2] and box[1] < box[3])
    require("source.bbox", holds, box, "[west, south, east, north], west below east and south below north")


def check_mask(mask: MaskSettings) -> None:
    """Raise ConfigError for a mask without a test, a test without a mask, and for what is no test."""
    _check_replacements("mask.href.replace", mask.href.replace)
    tests = {"bits": mask.bits, "values": mask.values, "keep": mask.keep}
    given = {f"mask.{name}": numbers for name, numbers in tests.items() if numbers is not None}
    for name, numbers in tests.items():
        require(f"mask.{name}", numbers != [], "[]", "at least one number, or null")
    require("mask.bits", min(mask.bits or [0]) >= 0, mask.bits, "bits from 0 on")
    if names_masks(mask):
        _refuse_other_than_one_rule(mask, given)
    else:
        example = "a mask, as by mask.href.replace=[SR_B4,QA_PIXEL] or mask.asset=qa_pixel"
        key, numbers = next(iter(given.items()), ("mask", None))
        require(key, not given, numbers, example)
        require("mask.on_missing", mask.on_missing is OnError.stop, mask.on_missing.value, example)


def _refuse_other_than_one_rule(mask: MaskSettings, given: Mapping[str, list[int]]) -> None:
    """Raise ConfigError unless one rule is given, by the keys that are set: what names the masks, or the rules."""
    rules = "one of mask.bits, mask.values and mask.keep"
    if len(given) > 1:
        several = " and ".join(f"{name}={numbers}" for name, numbers in given.items())
        raise ConfigError(f"{several}: wanted {rules}; leave out the others, such as {next(iter(given))}=null")
    named = {"mask.asset": mask.asset, "mask.href.replace": mask.href.replace}
    key, value = next((key, value) for key, value in named.items() if value is not None)
    require(key, given, value, f"{rules} with it, which tells what of a mask hides, such as mask.bits=[3,4]")


def _check_replacements(key: str, words: list[str] | None) -> None:
    if words is None:
        return
    wanted = "a regular expression and the text that takes its place, such as [SR_B4, QA_PIXEL], or several such pairs"
    require(key, words and len(words) % 2 == 0, words, wanted)
    for pattern, text in zip(words[::2], words[1::2], strict=True):
        try:
            re.sub(f"(?:{pattern})|", text, "")
        except (re.error, IndexError) as error:
            raise ConfigError(f"{key}: '{pattern}' and '{text}': {error}; wanted {wanted}") from error


def _check_url(key: str, url: str, schemes: tuple[str, ...]) -> None:
    scheme, mark, rest = url.partition("://")
    if "@" in rest.partition("/")[0]:
        raise ConfigError(f"{key} holds a user name or password: leave it to the environment (AWS_PROFILE, AWS_*)")
    *names, last = [f"{scheme}://..." if scheme else "a path" for scheme in schemes]
    wanted = f"{', '.join(names)} or {last}"
    wanted += "; Azure's abfs:// is az:// here" if scheme.startswith("abfs") else ""
    if mark and scheme in schemes:
        example = f"{scheme}://bucket/*" if scheme in ("s3", "gs", "az") else f"{scheme}://host:9000"
        require(key, _has_place(url), url, f"a place after ://, as in {example}")
    drive = os.name == "posix" and re.match(r"[A-Za-z]:[\\/]|\\\\", url)
    require(key, not drive, url, f"{wanted}, as this machine has them; WSL finds C:\\data as /mnt/c/data")
    require(key, url.strip() and (scheme if mark else "") in schemes, url, wanted)


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
