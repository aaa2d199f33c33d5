"""What a band of a raster says of itself to GDAL and to those who look at it: description, unit, scale."""

import posixpath
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from runner.errors import printable
from runner.model import Scene, Stack, path_of
from runner.output.cog_file import Band, PartlyEncoded
from runner.planning.groups import Groups
from runner.planning.records import Layer, StagePlan
from runner.reduce.statistics import statistic
from runner.settings import ResultScale

_LEVELS: Final = ("mean", "min", "max", "median", "first", "last")  # which scale as pixels do; so do quantiles
_AS_STORED: Final = (1.0, 0.0)


def band_of(raster: PartlyEncoded, layer: Layer, stage: StagePlan, stack: Stack, *, as_stored: bool = False) -> Band:
    """The band of a layer over time.

    `as_stored` says that pixels were not scaled: then the band has the scale by which the files mean them, unless it is
    in decibels.
    """
    name, scaled = layer.statistic, as_stored and stage.scale is ResultScale.linear
    scale, offset = _scale(name, stack) if scaled else _AS_STORED
    unit = stage.unit(name, stack.units) or ""
    tags = {"statistic": name, **_group_tags(layer, stage.groups, stack)}
    return Band(raster, describe_band(layer, stage.groups, stack), unit, scale, offset, tags)


def describe_band(layer: Layer, groups: Groups | None, stack: Stack) -> str:
    """A statistic, the pixels that it is of, and their time: mean of Gamma0_VV, 2020-01-06 to 2020-03-12.

    Of a group its label too: mean of Gamma0_VV, 2020-01: 2020-01-06 to 2020-01-30.
    """
    scenes = _scenes_of(layer, groups, stack)
    first, last = (f"{scenes[at].time:%Y-%m-%d}" for at in (0, -1))
    of_group = f"{layer.label}: " if layer.label else ""
    time = first if first == last else f"{first} to {last}"
    return printable(f"{layer.statistic} of {_pixels(stack)}, {of_group}{time}")


def _scenes_of(layer: Layer, groups: Groups | None, stack: Stack) -> Sequence[Scene]:
    return stack.scenes if groups is None else [stack.scenes[number] for number in groups.members(layer.group)]


def _group_tags(layer: Layer, groups: Groups | None, stack: Stack) -> dict[str, str]:
    """The group of a layer, and which scenes it has."""
    if groups is None:
        return {}
    scenes = _scenes_of(layer, groups, stack)
    return {
        "group": layer.label,
        "group_scenes": str(len(scenes)),
        "group_first_datetime": scenes[0].time.isoformat(),
        "group_last_datetime": scenes[-1].time.isoformat(),
    }


def _pixels(stack: Stack) -> str:
    """The name that all files give their band, or what the names of all files share; otherwise that of the stack."""
    descriptions = {scene.header.descriptions[scene.band - 1] for scene in stack.scenes}
    stems = [posixpath.splitext(posixpath.basename(path_of(scene.href)))[0] for scene in stack.scenes]
    described = descriptions.pop() if len(descriptions) == 1 else ""
    return described or (_shared(stems) if len(stems) > 1 else "") or stack.name


def _shared(stems: Sequence[str]) -> str:
    """The words with which all names begin and end, without numbers: S1A_20200106_VV and S1A_20200112_VV are S1A_VV."""
    if len(set(stems)) == 1:
        return stems[0]
    words = [re.split(r"[_\-. ]+", stem) for stem in stems]
    first = _alike(words)
    last = _alike([each[len(first) :][::-1] for each in words])[::-1]
    return "_".join(word for word in first + last if not word.isdigit())


def _alike(words: Sequence[Sequence[str]]) -> list[str]:
    return [each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))]


def _scale(name: str, stack: Stack) -> tuple[float, float]:
    """Scale and offset of a statistic of pixels as they are stored; 1 and 0 where the files have several, or none."""
    scales = {scene.header.scale_of(scene.band) for scene in stack.scenes}
    if len(scales) > 1:
        return _AS_STORED
    (scale, offset), of = scales.pop(), statistic(name)
    if name in _LEVELS or of.fraction is not None:
        return scale, offset
    return {"std": (abs(scale), 0.0), "var": (scale**2, 0.0)}.get(name, _AS_STORED)
