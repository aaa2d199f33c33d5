"""Masks in files of their own: the name of each from that of its scene, and its place on the scene's pixels."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from runner.base.humanize import listed
from runner.base.suggest import did_you_mean
from runner.errors import ReadError, SourceError, printable
from runner.model import LeftOut, MaskFile, OpenedFile, StoredObject
from runner.read.header import Header
from runner.settings import MaskSettings, OnError
from runner.source.differences import RESAMPLE, TOLERANCE, offset, same_crs
from runner.source.names import Candidate

ON_MISSING: Final = "leave such scenes out with mask.on_missing=skip"
_MOST_NAMED: Final = 5


def names_masks(settings: MaskSettings) -> bool:
    """True if each scene has a mask in a file of its own."""
    return settings.asset is not None or settings.href.replace is not None


def describe_test(settings: MaskSettings) -> str:
    """Which pixels of a mask hide, in words; the band if it is not the first."""
    rules = {"bits": settings.bits, "values": settings.values, "all values but": settings.keep}
    words = ", ".join(f"{name} {', '.join(map(str, numbers))}" for name, numbers in rules.items() if numbers)
    return words if settings.band == 1 else f"{words} of band {settings.band}"


def name_masks(settings: MaskSettings, chosen: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates with their masks, and those left out since their item does not have the asset.

    Raises SourceError for an address that does not match, or an asset that is not there, as mask.on_missing says.
    """
    named: list[Candidate] = []
    lacking: list[LeftOut] = []
    for candidate in chosen:
        item = with_mask(settings, candidate.item)
        if item.mask or not names_masks(settings):
            named.append(candidate if item is candidate.item else replace(candidate, item=item))
            continue
        reason = _without_asset(settings, item)
        lacking.append(LeftOut(item, candidate.scene, candidate.time, reason, skipped=True))
    if lacking and settings.on_missing is OnError.stop:
        raise SourceError(describe_lacking(lacking, len(chosen)))
    return named, lacking


def describe_lacking(lacking: Sequence[LeftOut], scenes: int) -> str:
    """The problem of scenes without their masks: the first with the address that was tried, how many, and which."""
    first = f"{printable(lacking[0].item.href)}: {lacking[0].reason}"
    if len(lacking) == scenes > 1:
        return f"{first}; none of {scenes} scenes has its mask: correct mask.href.replace or mask.asset"
    others = listed([printable(item.scene or item.item.href) for item in lacking[1:]], _MOST_NAMED)
    more = f"; {len(lacking)} of {scenes} scenes lack theirs, also {others}" if others else ""
    return f"{first}{more}; {ON_MISSING}"


def with_mask(settings: MaskSettings, item: StoredObject) -> StoredObject:
    """An object with its mask: the recorded one, if the settings still name it. Without one if it has no such asset.

    Raises SourceError for an address that the settings do not match.
    """
    if not names_masks(settings):
        return replace(item, mask=None) if item.mask else item
    if item.assets and settings.asset:
        href = dict(item.assets).get(settings.asset)
    elif settings.href.replace is None:
        return item if item.mask else replace(item, mask=None)  # recorded, if at all
    else:
        href = replaced(settings.href.replace, item.href)
    if item.mask and item.mask.href == href:
        return item
    return replace(item, mask=StoredObject(href) if href else None)


def has_name(settings: MaskSettings, item: StoredObject) -> bool:
    """True if a recorded object needs no mask, or something names it."""
    return not names_masks(settings) or with_mask(settings, item).mask is not None


def recorded_with_mask(settings: MaskSettings, item: StoredObject) -> StoredObject:
    """A recorded object with its mask as `with_mask`. Raises SourceError for a mask that nothing names."""
    masked = with_mask(settings, item)
    if not has_name(settings, item):
        raise SourceError(
            f"{printable(item.href)}: it was recorded without a mask, and of its STAC item nothing is recorded "
            f"(mask.asset={settings.asset}); set mask.href.replace, or run the job anew"
        )
    return masked


def _without_asset(settings: MaskSettings, item: StoredObject) -> str:
    names = ", ".join(name for name, _ in item.assets)
    meant = did_you_mean(settings.asset or "", dict(item.assets))
    has = (
        f"its assets are {names}{meant}"
        if names
        else "it does not come from a STAC item; set mask.href.replace instead"
    )
    return f"it has no asset '{settings.asset}' (mask.asset); {has}"


def replaced(pairs: Sequence[str], href: str) -> str:
    """An address in which each expression is replaced. Raises SourceError for one that does not match."""
    result = href
    for pattern, text in zip(pairs[::2], pairs[1::2], strict=True):
        if not re.search(pattern, result):
            raise SourceError(
                f"{printable(href)}: '{pattern}' of mask.href.replace does not match; wanted a regular expression that "
                "matches in the address of every scene"
            )
        result = re.sub(pattern, text, result)
    if result == href:
        raise SourceError(f"{printable(href)}: with mask.href.replace={list(pairs)} its mask would be the scene itself")
    return result


def missing_mask(mask: StoredObject) -> str:
    """The reason why a scene without its mask is left out."""
    return f"its mask {printable(mask.href)} does not exist"


def placed_mask(scene: StoredObject, header: Header, mask: OpenedFile) -> MaskFile:
    """A mask on the pixels of its scene. Raises ReadError if they are not on one lattice, or pixels are not covered."""
    if header.placed != mask.header.placed:
        lacks, has = ("its mask", "it") if header.placed else ("it", "its mask")
        raise _misfit(scene, mask, f"{has} has a place on the ground and {lacks} has none")
    if header.placed and not same_crs(header, mask.header):
        raise _misfit(scene, mask, f"it has CRS {_crs(header)}, its mask has {_crs(mask.header)}")
    place = _place(header, mask.header)
    if place is None:
        raise _misfit(scene, mask, f"it has {_pixels(header)}, its mask has {_pixels(mask.header)}, off its lattice")
    factor, row, column = place
    (height, width), (rows, columns) = header.shape, mask.header.shape
    if row > 0 or column > 0 or row + rows * factor < height or column + columns * factor < width:
        covered = f"rows {row} to {row + rows * factor} and columns {column} to {column + columns * factor}"
        raise _misfit(scene, mask, f"its mask covers {covered} of its {height} rows and {width} columns")
    return MaskFile(mask.href, mask.size, mask.etag, mask.modified, mask.header, factor, row, column)


def _place(header: Header, mask: Header) -> tuple[int, int, int] | None:
    """Pixels of a scene along one of its mask, and the first of them; None if they are not on one lattice."""
    (height, width), (rows, columns) = header.shape, mask.shape
    if not header.placed:
        factor = -(-height // rows)
        return (factor, 0, 0) if (rows, columns) == (-(-height // factor), -(-width // factor)) else None
    corners = [(0, 0), (0, columns), (rows, 0), (rows, columns)]
    places = [_added(corner, offset(mask.transform, header.transform, corner)) for corner in corners]
    if not all(abs(edge) < 2**40 for place in places for edge in place):  # also for infinity
        return None
    (row, column), (below, _) = (tuple(map(round, place)) for place in (places[0], places[2]))
    factor = round((below - row) / rows)
    expected = [(row + factor * down, column + factor * across) for down, across in corners]
    shifts = [
        abs(got - wanted)
        for place, corner in zip(places, expected, strict=True)
        for got, wanted in zip(place, corner, strict=True)
    ]
    return (factor, row, column) if factor >= 1 and max(shifts) <= TOLERANCE else None


def _added(corner: tuple[int, int], shift: tuple[float, float]) -> tuple[float, float]:
    return corner[0] + shift[0], corner[1] + shift[1]


def _misfit(scene: StoredObject, mask: OpenedFile, problem: str) -> ReadError:
    remedy = (
        "a mask has the CRS of its scene, covers it, and has pixels of the same size or larger by a whole factor. "
        f"{RESAMPLE}, as: gdalwarp -r near -t_srs CRS -te XMIN YMIN XMAX YMAX -tr X Y"
    )
    return ReadError(scene.href, f"{problem} ({printable(mask.href)}); {remedy}")


def _crs(header: Header) -> str:
    return f"EPSG:{header.epsg}" if header.epsg else header.crs.partition(",")[0] or "none"


def _pixels(header: Header) -> str:
    if not header.placed:
        return "{} rows and {} columns".format(*header.shape)
    a, _, c, _, e, f = header.transform
    return f"pixels of {a:.9g} x {e:.9g} from ({c:.12g}, {f:.12g}) on"
