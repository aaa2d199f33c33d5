"""Files beside a TIFF that say what its pixels mean: a mask, GDAL's .aux.xml, world files, RPCs.

Source of the names: https://gdal.org/en/stable/drivers/raster/gtiff.html, "Georeferencing", and
https://gdal.org/en/stable/user/raster_data_model.html, "Mask bands".
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

from runner.errors import ReadError, SourceError, printable
from runner.model import StoredObject
from runner.source.hints import is_tiff

_MASK: Final = ".msk"
_AUX: Final = ".aux.xml"
_PLACING: Final[Mapping[str, str]] = {  # the ending instead of .tif: the name that GDAL is given for it
    ".tfw": "x.tfw", ".tifw": "x.tfw", ".tiffw": "x.tfw", ".wld": "x.wld", ".tab": "x.tab",
}  # fmt: skip
_RPCS: Final = ("_RPC.TXT", "_rpc.txt", ".RPB", ".rpb")
_ENDINGS: Final = (_MASK, _AUX, *_PLACING, *_RPCS)
_NOT_READ: Final = (".ovr", ".json", ".xml", ".txt")  # of overviews, metadata and checksums
NO_SCENE: Final = "not a TIFF by its name"
_MOST_NAMED: Final = 4
_OF_DATASET: Final = ("SRS", "GeoTransform", "GCPList")
_OF_BAND: Final = ("NoDataValue", "Scale", "Offset")
MAX_BYTES: Final = 16 * 2**20  # of a file that is read; those of statistics take a few kB


def may_be_sidecar(name: str) -> bool:
    """Whether a key or path ends like a file that stands beside another."""
    return name.lower().endswith(tuple(ending.lower() for ending in _ENDINGS))


def split_scenes(items: Sequence[StoredObject]) -> tuple[list[StoredObject], list[StoredObject]]:
    """Objects that may be scenes, and what a wide pattern matches beside them.

    Where there are TIFFs by their names, all others stand beside them; else those that end like a sidecar.
    """
    tiffs = any(is_tiff(item.href) for item in items)
    beside = [item for item in items if (not is_tiff(item.href) if tiffs else _is_beside(item.href))]
    gone = set(beside)
    return ([item for item in items if item not in gone], beside) if len(beside) < len(items) else ([*items], [])


def _is_beside(name: str) -> bool:
    return may_be_sidecar(name) or name.lower().endswith(_NOT_READ)


def describe_passed_over(items: Sequence[StoredObject]) -> list[str]:
    """A line on objects that are not scenes by their names; none if there are none."""
    if not items:
        return []
    endings = Counter(re.search(r"(\.aux)?(\.[^./]*)?$", item.href.lower())[0] for item in items)  # type: ignore[index]
    named = ", ".join(ending or "without an ending" for ending, _ in endings.most_common(_MOST_NAMED))
    more = ", ..." * (len(endings) > _MOST_NAMED)
    files = f"{len(items)} files that are not TIFFs" if len(items) > 1 else "1 file that is not a TIFF"
    return [f"passed over as scenes: {files} by name ({printable(named)}{more})"]


def with_sidecars(item: StoredObject, names: Collection[str]) -> StoredObject:
    """An object with those of `names`, hrefs of the same archive, that stand beside it."""
    found = tuple(name for name in _possible(item.href) if name in names) if names else ()
    return replace(item, sidecars=found) if found else item


def _possible(href: str) -> Iterable[str]:
    stem = re.sub(r"\.[^./]*$", "", href)
    yield href + _MASK
    yield href + _AUX
    yield from (stem + form for ending in _PLACING for form in (ending, ending.upper()))
    yield from (stem + ending for ending in _RPCS)


def refuse_masks(items: Sequence[StoredObject]) -> None:
    """Raise SourceError for objects with a mask in a file of its own, which no reader reads."""
    masks = [one for item in items for one in item.sidecars if one.endswith(_MASK)]
    if masks:
        raise SourceError(
            f"{len(masks)} of {len(items)} scenes have a mask beside them, such as {printable(masks[0])}, which is not "
            "read; put the masks into the files (gdal_translate -of COG), or say source.sidecars=ignore if masked "
            "pixels count"
        )


def rpcs(item: StoredObject) -> list[str]:
    """The files beside an object that hold rational polynomial coefficients."""
    return [one for one in item.sidecars if one.endswith(_RPCS)]


def auxiliary(item: StoredObject) -> list[str]:
    """The .aux.xml beside an object, which completes its header."""
    return [one for one in item.sidecars if one.endswith(_AUX)]


def placing(item: StoredObject) -> list[str]:
    """The files beside an object that say where it lies, if it does not say so itself."""
    return [one for one in item.sidecars if _ending(one) in _PLACING]


def _ending(href: str) -> str:
    return href[href.rfind(".") :].lower()


def name_for_gdal(sidecar: str) -> str:
    """What a sidecar is called beside a file called x.tif."""
    return _PLACING.get(_ending(sidecar), "x.tif.aux.xml")


def relevant_part(href: str, text: bytes) -> bytes:
    """An .aux.xml without what changes neither pixels nor their place, as statistics; empty if nothing else is in it.

    Raises ReadError for what is no such file, SourceError for a mask in it that is not read.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - expat 2.4.1 and later refuses entities that expand
    except ET.ParseError as error:
        raise ReadError(href, f"not the XML that GDAL writes: {error}; remove it or write it anew") from error
    _refuse_masks(href, root)
    kept = ET.Element("PAMDataset")
    kept.extend(one for one in root if one.tag in _OF_DATASET or one.get("domain") == "xml:ESRI")
    for band in root.iter("PAMRasterBand"):
        inner = [one for one in band if one.tag in _OF_BAND]
        if inner:
            ET.SubElement(kept, "PAMRasterBand", band.attrib).extend(inner)
    return ET.tostring(kept) if len(kept) else b""


def _refuse_masks(href: str, root: ET.Element) -> None:
    keys = {one.get("key") for one in root.iterfind("./Metadata/MDI")}
    alpha = [one for one in root.iterfind("./PAMRasterBand/ColorInterp") if one.text == "Alpha"]
    what = "NODATA_VALUES" if "NODATA_VALUES" in keys else "an alpha band" if alpha else None
    if what:
        raise SourceError(
            f"{printable(href)} names {what}, which is not read; write it into the file (gdal_translate -of COG), or "
            "say source.sidecars=ignore if these pixels count"
        )
