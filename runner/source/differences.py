"""Differences between scenes that should make one stack: of each trait, how many scenes have which."""

import fnmatch
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from rasterio.crs import CRS

from runner.base.humanize import nodata
from runner.errors import SourceError, printable
from runner.model import Scene
from runner.read.georeference import Transform
from runner.read.header import Header
from runner.read.masks import FileMask
from runner.reduce.nodata import same_nodata

_TOLERANCE: Final = 1e-3  # pixels between the corners of two grids that count as one
_MOST_KINDS: Final = 20  # that are distinguished
_MOST_NAMED: Final = 4  # of these, in a message
_FEW: Final = 5  # scenes that may be left out one by one


class Trait(NamedTuple):
    """Property that all scenes share: `same` compares two headers, `say` describes one beside the most frequent."""

    say: Callable[[Header, Header], str]
    same: Callable[[Header, Header], bool]


def refuse_differences(scenes: Sequence[Scene], *, placed: bool, nodata_of: int | None) -> None:
    """Raise SourceError that says of each trait that is not the same in all scenes how many have which.

    CRS and grid count if the scenes are `placed`; `nodata_of` is the band whose nodata counts, None if none does.
    """
    nodata = () if nodata_of is None else (_nodata_trait(nodata_of),)
    traits = [*(PLACE if placed else ()), *TYPE, *nodata]
    found = [(trait, kinds) for trait in traits if len(kinds := _kinds(scenes, trait)) > 1]
    if found:
        problems = "; ".join(_described(trait, kinds) for trait, kinds in found)
        odd = {scene.href: scene for _, kinds in found for kind in kinds[1:] for scene in kind}
        hint = "; if one nodata value holds for all, set source.nodata" if [t for t, _ in found] == [*nodata] else ""
        raise SourceError(f"{_headline(scenes)}: {problems}. {_remedy(scenes, list(odd.values()))}{hint}")


def _headline(scenes: Sequence[Scene]) -> str:
    grids = len(_kinds(scenes, _ONE_GRID))
    if grids == 1:
        return f"{len(scenes)} scenes do not make one stack"
    return f"{len(scenes)} scenes lie on {grids}{' or more' * (grids == _MOST_KINDS)} grids and do not make one stack"


def _kinds(scenes: Sequence[Scene], trait: Trait) -> list[list[Scene]]:
    """Scenes of one kind together, the most frequent kind first; beyond `_MOST_KINDS`, all others are one."""
    kinds: list[list[Scene]] = []
    for scene in scenes:
        kind = next((one for one in kinds if trait.same(scene.header, one[0].header)), None)
        if kind is None and len(kinds) < _MOST_KINDS:
            kinds.append([scene])
        else:
            (kind or kinds[-1]).append(scene)
    return sorted(kinds, key=len, reverse=True)


def _described(trait: Trait, kinds: Sequence[Sequence[Scene]]) -> str:
    most = kinds[0][0].header
    named = [f"{len(one)} {trait.say(one[0].header, most)} ({printable(one[0].name)})" for one in kinds[:_MOST_NAMED]]
    others = sum(map(len, kinds[_MOST_NAMED:]))
    return ", ".join(named) + (f", {others} still others" if others else "")


def _remedy(scenes: Sequence[Scene], odd: Sequence[Scene]) -> str:
    """Leave out a few by name; never most of an archive."""
    if len(odd) <= _FEW and 2 * len(odd) < len(scenes):
        patterns = ",".join(f'"{_pattern(one, scenes)}"' for one in odd)
        return f"Leave {'this one' if len(odd) == 1 else 'these'} out with 'source.exclude=[{patterns}]'"
    return (
        "Run each kind on its own, with a narrower source.url or a source.exclude, or warp all onto one grid"
        " and type (gdalwarp -t_srs, -te, -tr, -ot)"
    )


def _pattern(odd: Scene, scenes: Sequence[Scene]) -> str:
    """The shortest pattern that leaves out this scene and no other."""
    pattern = f"*{odd.name}*"
    hit = [one for one in scenes if fnmatch.fnmatchcase(one.name, pattern) or fnmatch.fnmatchcase(one.href, pattern)]
    return printable(pattern if hit == [odd] else odd.href)


# --- place ------------------------------------------------------------------------------------------------------


def _same_crs(one: Header, other: Header) -> bool:
    return one.crs == other.crs or (bool(one.crs and other.crs) and _equal_wkt(one.crs, other.crs))


@lru_cache(maxsize=256)
def _equal_wkt(one: str, other: str) -> bool:
    return bool(CRS.from_wkt(one) == CRS.from_wkt(other))


def _crs(one: Header, _: Header) -> str:
    name = f"EPSG:{one.epsg}" if one.epsg else one.crs.partition(",")[0] or "none"
    return f"with CRS {name}"


def _same_grid(one: Header, other: Header) -> bool:
    if one.transform == other.transform:
        return True
    height, width = one.shape
    corners = ((0, 0), (0, width), (height, 0), (height, width))
    shifts = [shift for corner in corners for shift in offset(one.transform, other.transform, corner)]
    return max(map(abs, shifts)) <= _TOLERANCE


def offset(one: Transform, other: Transform, pixel: tuple[int, int]) -> tuple[float, float]:
    """Shift of a pixel (row, column) against the same pixel of another grid, in (rows, columns) of that grid."""
    (a, b, c, d, e, f), (row, column) = other, pixel
    determinant = a * e - b * d
    if not determinant:
        return float("inf"), float("inf")
    x = (one[0] - a) * column + (one[1] - b) * row + one[2] - c
    y = (one[3] - d) * column + (one[4] - e) * row + one[5] - f
    return (a * y - d * x) / determinant, (e * x - b * y) / determinant


def _grid(one: Header, most: Header) -> str:
    a, b, c, d, e, f = one.transform
    if one is most or (a, b, d, e) != (*most.transform[:2], *most.transform[3:5]):
        turned = f", rotated by {b:.9g} and {d:.9g}" if b or d else ""
        return f"with pixels of {a:.9g} x {e:.9g} from ({c:.12g}, {f:.12g}) on{turned}"
    rows, columns = offset(one.transform, most.transform, (0, 0))
    return f"shifted by {rows + 0:.6g} rows and {columns + 0:.6g} columns"  # 0 for -0


_ONE_GRID: Final = Trait(
    _grid, lambda one, other: one.shape == other.shape and _same_crs(one, other) and _same_grid(one, other)
)
PLACE: Final = (Trait(_crs, _same_crs), Trait(_grid, _same_grid))
TYPE: Final = (
    Trait(lambda one, _: "of {} x {} pixels".format(*one.shape), lambda one, other: one.shape == other.shape),
    Trait(lambda one, _: f"of type {one.dtype}", lambda one, other: one.dtype == other.dtype),
    Trait(lambda one, _: f"of {one.bands} bands", lambda one, other: one.bands == other.bands),
)


def _nodata_trait(band: int) -> Trait:
    """The nodata value of a band: the pixels count, not the digits; but any value makes an alpha band give way."""

    def same(one: Header, other: Header) -> bool:
        ours, theirs = one.nodata_of(band), other.nodata_of(band)
        by_alpha = FileMask.alpha in (one.mask_of(band), other.mask_of(band))
        if by_alpha and (ours is None) != (theirs is None):
            return False
        return one.dtype != other.dtype or ours == theirs or same_nodata(ours, theirs, one.dtype)

    return Trait(lambda one, _: f"with {nodata(one.nodata_of(band))}", same)
