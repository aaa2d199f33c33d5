"""What a source says beside its scenes: items that give none, and how their pixels are to be read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from runner.model import LeftOut, Scene, Stack
from runner.settings import SourceSettings


class Stated(NamedTuple):
    """Scale, offset and nodata of a band, as an item states them; None where it does not."""

    scale: float | None = None
    offset: float | None = None
    nodata: float | int | str | None = None


@dataclass(frozen=True, slots=True)
class Remarks:
    """Filled while a source is listed; `stated` is by href."""

    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stated: dict[str, Stated] = field(default_factory=dict)


def describe_stated(stated: Mapping[str, Stated], stack: Stack, source: SourceSettings) -> list[str]:
    """A line on scales, offsets and nodata values that items state and their files do not; none if they agree.

    Files are read as they say themselves, since providers have stated both wrongly.
    """
    scenes = [scene for scene in stack.scenes if scene.href in stated]
    settings = [_settings(scene, stated[scene.href], source) for scene in scenes]
    others = [chosen for chosen in settings if chosen]
    if not others:
        return []
    kinds = Counter(others).most_common()
    more = f", of most of them; there are {len(kinds)} different statements" if len(kinds) > 1 else ""
    return [
        f"the items of {len(others)} of {len(stack.scenes)} scenes state a scale, an offset or a nodata value that "
        f"their files do not; the files count: for what the items state, set {' '.join(kinds[0][0])}{more}"
    ]


def _settings(scene: Scene, stated: Stated, source: SourceSettings) -> tuple[str, ...]:
    """The settings by which a scene's pixels would be read as its item states and its file does not."""
    header, band = scene.header, scene.band
    if not 1 <= band <= header.bands:
        return ()
    (scale, offset), nodata = header.scale_of(band), header.nodata_of(band) if source.nodata is None else source.nodata
    wanted: dict[str, float | str | None] = {}
    if source.mask_and_scale and stated.scale not in (None, scale):
        wanted["scale"] = stated.scale
    if source.mask_and_scale and stated.offset not in (None, offset):
        wanted["offset"] = stated.offset
    if stated.nodata is not None and not _same(stated.nodata, nodata):
        wanted["nodata"] = stated.nodata
    return tuple(f"source.{name}={value}" for name, value in wanted.items())


def _same(stated: object, own: object) -> bool:
    """Tell if two nodata values are one; NaN may be a text in JSON."""
    return own is not None and (stated == own or str(stated).lower() == str(own).lower())
