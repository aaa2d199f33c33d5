"""Differences between scenes that should make one stack: of each trait, how many scenes have which."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from math import isfinite
from typing import Final, NamedTuple

from rasterio.crs import CRS

from runner.base.humanize import nodata as described_nodata
from runner.errors import SourceError, printable
from runner.model import Scene
from runner.read.georeference import Transform
from runner.read.header import Header
from runner.read.masks import FileMask
from runner.reduce.nodata import same_nodata
from runner.settings import StackGrid

TOLERANCE: Final = 1e-3  # pixels between the corners of two grids that count as one
_MOST_KINDS: Final = 20  # that are distinguished
_MOST_NAMED: Final = 4  # of these, in a message
_FEW: Final = 5  # scenes that may be left out one by one
RESAMPLE: Final = "Pixels are never resampled here; odc-stac and gdalwarp resample scenes onto one grid"


class Trait(NamedTuple):
    """Property that all scenes share: `same` compares two scenes, `say` describes one beside the most frequent."""

    say: Callable[[Scene, Scene], str]
    same: Callable[[Scene, Scene], bool]

    @classmethod
    def of_headers(cls, say: Callable[[Header, Header], str], same: Callable[[Header, Header], bool]) -> "Trait":
        """A property that the headers tell."""
        return cls(lambda a, b: say(a.header, b.header), lambda a, b: same(a.header, b.header))


def refuse_differences(scenes: Sequence[Scene], grid: StackGrid | None, *, nodata: bool) -> None:
    """Raise SourceError that says of each trait that is not the same in all scenes how many have which.

    `grid` tells if scenes share a grid, or only its lattice; None if they have no place. `nodata` tells if that of the
    files counts.
    """
    traits = [*_PLACES[grid], *TYPE, *((_NODATA,) if nodata else ())]
    differing = [(trait, kinds) for trait in traits if len(kinds := _kinds(scenes, trait)) > 1]
    if differing:
        problems = "; ".join(_described(trait, kinds) for trait, kinds in differing)
        odd = {scene.href: scene for _, kinds in differing for kind in kinds[1:] for scene in kind}
        only_nodata = [trait for trait, _ in differing] == [_NODATA]
        hint = "; if one nodata value holds for all, set source.nodata" if only_nodata else ""
        if grid is StackGrid.same and {trait for trait, _ in differing} <= {_GRID, _SHAPE} and _on_one_lattice(scenes):
            hint = ". Or set source.grid=union: they lie on one lattice, shifted by whole pixels"
        if _LATTICE in [trait for trait, _ in differing]:
            hint = f". {RESAMPLE}"
        raise SourceError(f"{_headline(scenes, grid)}: {problems}. {_remedy(scenes, list(odd.values()))}{hint}")


def _on_one_lattice(scenes: Sequence[Scene]) -> bool:
    return all(len(_kinds(scenes, trait)) == 1 for trait in (_CRS, _LATTICE))


def _headline(scenes: Sequence[Scene], grid: StackGrid | None) -> str:
    if grid not in (StackGrid.same, None):
        lattices = len(_kinds(scenes, _LATTICE))
        if lattices > 1:
            more = " or more" * (lattices == _MOST_KINDS)
            return f"source.grid={grid.value}: {len(scenes)} scenes lie on {lattices}{more} lattices, not on one"
        return f"{len(scenes)} scenes do not make one stack"
    grids = len(_kinds(scenes, _ONE_GRID))
    if grids == 1:
        return f"{len(scenes)} scenes do not make one stack"
    return f"{len(scenes)} scenes lie on {grids}{' or more' * (grids == _MOST_KINDS)} grids and do not make one stack"


def _kinds(scenes: Sequence[Scene], trait: Trait) -> list[list[Scene]]:
    """Scenes of one kind together, the most frequent kind first; beyond `_MOST_KINDS`, all others are one."""
    kinds: list[list[Scene]] = []
    for scene in scenes:
        kind = next((group for group in kinds if trait.same(scene, group[0])), None)
        if kind is None and len(kinds) < _MOST_KINDS:
            kinds.append([scene])
        else:
            (kind or kinds[-1]).append(scene)
    return sorted(kinds, key=len, reverse=True)


_EACH_KIND: Final = (
    "Make a stack of each kind by source.stack_by, if a named group of source.datetime_regex tells them apart, or "
    "narrow source.url"
)


def _described(trait: Trait, kinds: Sequence[Sequence[Scene]]) -> str:
    parts = [f"{len(kind)} {trait.say(kind[0], kinds[0][0])} ({printable(kind[0].name)})" for kind in kinds]
    remaining = sum(map(len, kinds[_MOST_NAMED:]))
    return ", ".join(parts[:_MOST_NAMED]) + (f", {remaining} still others" if remaining else "")


def _remedy(scenes: Sequence[Scene], odd: Sequence[Scene]) -> str:
    """Leave out a few by name; never most of an archive."""
    if len(odd) <= _FEW and 2 * len(odd) < len(scenes):
        patterns = ",".join(f'"{_pattern(scene, scenes)}"' for scene in odd)
        return f"Leave {'this one' if len(odd) == 1 else 'these'} out with 'source.exclude=[{patterns}]'"
    group = _parting_group(scenes, odd)
    own = f"Make a stack of each kind by source.stack_by=[{printable(group)}]" if group else _EACH_KIND
    return f"{own}, or warp all onto one grid and type (gdalwarp -t_srs, -te, -tr, -ot)"


def _parting_group(scenes: Sequence[Scene], odd: Sequence[Scene]) -> str | None:
    """The named group with the fewest values of which these scenes and the others have none in common."""
    hrefs = {scene.href for scene in odd}
    parted: dict[str, int] = {}
    for name in sorted({name for scene in scenes for name in scene.groups}):
        ours, others = ({s.groups.get(name) for s in scenes if (s.href in hrefs) is side} for side in (True, False))
        if not ours & others and 2 * len(ours | others) <= len(scenes):
            parted[name] = len(ours | others)
    return min(parted, key=lambda name: parted[name], default=None)


def _pattern(odd: Scene, scenes: Sequence[Scene]) -> str:
    """The shortest pattern that leaves out this scene and no other."""
    pattern = f"*{odd.name}*"
    matches = [scene for scene in scenes if any(fnmatchcase(text, pattern) for text in (scene.name, scene.href))]
    return printable(pattern if matches == [odd] else odd.href)


# --- place ------------------------------------------------------------------------------------------------------


def same_crs(a: Header, b: Header) -> bool:
    """True if two headers have one CRS, or both have none."""
    return a.crs == b.crs or (bool(a.crs and b.crs) and _equal_wkt(a.crs, b.crs))


@lru_cache(maxsize=256)
def _equal_wkt(a: str, b: str) -> bool:
    return bool(CRS.from_wkt(a) == CRS.from_wkt(b))


def _crs(header: Header, _: Header) -> str:
    name = f"EPSG:{header.epsg}" if header.epsg else header.crs.partition(",")[0] or "none"
    return f"with CRS {name}"


def _same_grid(a: Header, b: Header) -> bool:
    if a.transform == b.transform:
        return True
    height, width = a.shape
    corners = ((0, 0), (0, width), (height, 0), (height, width))
    shifts = [shift for corner in corners for shift in offset(a.transform, b.transform, corner)]
    return max(map(abs, shifts)) <= TOLERANCE


def offset(transform: Transform, reference: Transform, pixel: tuple[int, int]) -> tuple[float, float]:
    """Shift of a pixel (row, column) against the same pixel of another grid, in (rows, columns) of that grid."""
    (a, b, c, d, e, f), (row, column) = reference, pixel
    determinant = a * e - b * d
    if not determinant:
        return float("inf"), float("inf")
    x = (transform[0] - a) * column + (transform[1] - b) * row + transform[2] - c
    y = (transform[3] - d) * column + (transform[4] - e) * row + transform[5] - f
    return (a * y - d * x) / determinant, (e * x - b * y) / determinant


def _grid(header: Header, most: Header) -> str:
    a, b, c, d, e, f = header.transform
    if header is most or (a, b, d, e) != (*most.transform[:2], *most.transform[3:5]):
        turned = f", rotated by {b:.9g} and {d:.9g}" if b or d else ""
        return f"with pixels of {a:.9g} x {e:.9g} from ({c:.12g}, {f:.12g}) on{turned}"
    rows, columns = offset(header.transform, most.transform, (0, 0))
    return f"shifted by {rows + 0:.6g} rows and {columns + 0:.6g} columns"  # 0 for -0


def _same_lattice(a: Header, b: Header) -> bool:
    height, width = a.shape
    shifts = [offset(a.transform, b.transform, corner) for corner in ((0, 0), (0, width), (height, 0), (height, width))]
    if not all(isfinite(shift) for pair in shifts for shift in pair):
        return False
    rows, columns = (round(shift) for shift in shifts[0])
    return all(abs(pair[0] - rows) <= TOLERANCE and abs(pair[1] - columns) <= TOLERANCE for pair in shifts)


def _lattice(header: Header, most: Header) -> str:
    text = _grid(header, most)
    if header is most or not text.startswith("shifted"):
        return text
    rows, columns = (shift - round(shift) + 0 for shift in offset(header.transform, most.transform, (0, 0)))
    return f"off these by {rows:.4g} rows and {columns:.4g} columns"


_ONE_GRID: Final = Trait.of_headers(_grid, lambda a, b: a.shape == b.shape and same_crs(a, b) and _same_grid(a, b))
_CRS: Final = Trait.of_headers(_crs, same_crs)
_GRID: Final = Trait.of_headers(_grid, _same_grid)
_LATTICE: Final = Trait.of_headers(_lattice, _same_lattice)
_SHAPE: Final = Trait.of_headers(
    lambda header, _: "of {} x {} pixels".format(*header.shape), lambda a, b: a.shape == b.shape
)
_PLACES: Final[dict[StackGrid | None, tuple[Trait, ...]]] = {
    None: (_SHAPE,),
    StackGrid.same: (_CRS, _GRID, _SHAPE),
    **dict.fromkeys((StackGrid.union, StackGrid.intersection, StackGrid.first), (_CRS, _LATTICE)),
}
TYPE: Final = (
    Trait.of_headers(lambda header, _: f"of type {header.dtype}", lambda a, b: a.dtype == b.dtype),
    Trait.of_headers(lambda header, _: f"of {header.bands} bands", lambda a, b: a.bands == b.bands),
)


def _same_nodata(a: Scene, b: Scene) -> bool:
    """True if two scenes have one nodata value: pixels count, not digits; any value makes an alpha band give way."""
    ours, theirs = a.header.nodata_of(a.band), b.header.nodata_of(b.band)
    by_alpha = FileMask.alpha in (a.header.mask_of(a.band), b.header.mask_of(b.band))
    if by_alpha and (ours is None) != (theirs is None):
        return False
    return a.header.dtype != b.header.dtype or ours == theirs or same_nodata(ours, theirs, a.header.dtype)


_NODATA: Final = Trait(lambda scene, _: f"with {described_nodata(scene.header.nodata_of(scene.band))}", _same_nodata)
