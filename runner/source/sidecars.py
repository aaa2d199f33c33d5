"""Files beside a TIFF that say what its pixels mean: a mask, GDAL's .aux.xml, world files, RPCs.

Source of the names: https://gdal.org/en/stable/drivers/raster/gtiff.html, "Georeferencing", and
https://gdal.org/en/stable/user/raster_data_model.html, "Mask bands".
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

from runner.errors import SourceError, printable
from runner.model import StoredObject
from runner.read.erdas import says_more
from runner.read.header import Header
from runner.read.masks import FileMask

_MASK: Final = ".msk"
_AUX: Final = ".aux.xml"
_ERDAS: Final = ".aux"
_PLACING: Final[Mapping[str, str]] = {  # the ending instead of .tif: the name that GDAL is given for it
    ".tfw": "x.tfw", ".tifw": "x.tifw", ".tiffw": "x.tifw", ".wld": "x.wld", ".tab": "x.tab",
}  # fmt: skip
_OF_ENDING: Final = {".tifw": ".tif", ".tiffw": ".tiff"}  # which world file is of which files alone
_RPCS: Final = ("_rpc.txt", ".rpb")
_ENDINGS: Final = (_MASK, _AUX, _ERDAS, *_PLACING, *_RPCS)
_OF_DATASET: Final = ("srs", "geotransform", "gcplist")
_BAND, _METADATA, _ESRI, _VALUES = "pamrasterband", "metadata", "xml:esri", "nodata_values"
_OF_BAND: Final = ("nodatavalue", "scale", "offset", "colorinterp", "description")
_BEGIN: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<[A-Za-z]")
MAX_BYTES: Final = 16 * 2**20  # of a file that is read; those of statistics take a few kB


def may_be_sidecar(name: str) -> bool:
    """Tell if a key or path ends like a file that stands beside another."""
    return name.lower().endswith(_ENDINGS)


def by_folded_name(hrefs: Iterable[str]) -> Mapping[str, str]:
    """Hrefs by themselves, and by their names in lower case, by which GDAL finds most of them."""
    names = sorted(hrefs)
    return {_folded(href): href for href in names} | {href: href for href in names}


def with_sidecars(item: StoredObject, names: Mapping[str, str]) -> StoredObject:
    """An object with those of `names`, of `by_folded_name`, that stand beside it."""
    candidates = (names.get(name) or names.get(_folded(name)) for name in _possible(item.href)) if names else ()
    sidecars = tuple(href for href in candidates if href and (_ending(href) != ".xml" or href == item.href + _AUX))
    return replace(item, sidecars=sidecars) if sidecars else item


def _folded(href: str) -> str:
    folder, slash, name = href.rpartition("/")
    return folder + slash + name.lower()


def _possible(href: str) -> Iterable[str]:
    stem = re.sub(r"\.[^./]*$", "", href)
    yield href + _MASK
    yield href + _AUX
    yield from dict.fromkeys((stem + _ERDAS, href + _ERDAS))
    yield from (stem + form for form in _PLACING if _OF_ENDING.get(form) in (None, _ending(href)))
    yield from (stem + ending for ending in _RPCS)


def refuse_masks(items: Sequence[StoredObject]) -> None:
    """Raise SourceError for objects with a mask in a file of its own, which no reader reads."""
    masks = [href for item in items for href in item.sidecars if _ending(href) == _MASK]
    if masks:
        raise SourceError(
            f"{len(masks)} of {len(items)} scenes have a mask beside them, such as {printable(masks[0])}, which is not "
            "read; put the masks into the files (gdal_translate -of COG), or say source.sidecars=ignore if masked "
            "pixels count"
        )


def rpcs(item: StoredObject) -> list[str]:
    """The files beside an object that hold rational polynomial coefficients."""
    return [href for href in item.sidecars if href.lower().endswith(_RPCS)]


def auxiliary(item: StoredObject) -> list[str]:
    """The .aux.xml beside an object, which completes its header."""
    return [href for href in item.sidecars if href.endswith(_AUX)]


def erdas(item: StoredObject) -> list[str]:
    """The .aux of ERDAS Imagine beside an object, which GDAL reads where there is no .aux.xml."""
    return [] if auxiliary(item) else [href for href in item.sidecars if _ending(href) == _ERDAS]


def placing(item: StoredObject) -> list[str]:
    """The files beside an object that say where it lies, if it does not say so itself."""
    return [href for href in item.sidecars if _ending(href) in _PLACING]


def _ending(href: str) -> str:
    return href[href.rfind(".") :].lower()


def name_for_gdal(sidecar: str) -> str:
    """The names of a sidecar beside a file called x.tif."""
    return _PLACING.get(_ending(sidecar), "x.tif.aux.xml")


def relevant_part(text: bytes) -> bytes:
    """An .aux.xml without what changes neither pixels, their place nor the names of bands, as statistics; maybe empty.

    What is not plain XML is left to GDAL, which reads some of it, and passes over the rest.
    """
    root = _plain_xml(text)
    if root is None:
        return text
    _keep(root, _is_of_dataset)
    for part in root:
        if _name(part) == _BAND:
            _keep(part, lambda entry: _name(entry) in _OF_BAND)
        elif _name(part) == _METADATA and _attribute(part, "domain") != _ESRI:
            _keep(part, lambda entry: _attribute(entry, "key") == _VALUES)
    _keep(root, lambda part: len(part) > 0 or _name(part) not in (_BAND, _METADATA))
    return ET.tostring(root) if len(root) else b""


def sha256(parts: Iterable[tuple[str, bytes]]) -> str:
    """The digest of what files beside an object say, by GDAL's names for them."""
    digest = hashlib.sha256()
    for name, data in parts:
        digest.update(f"{name} {len(data)} ".encode() + data)
    return digest.hexdigest()


def _plain_xml(text: bytes) -> ET.Element | None:
    """The root of XML in the form in which GDAL writes it, else None.

    GDAL reads nothing behind a declaration, takes attributes for elements, and reads no value that a comment cuts.
    """
    if not _BEGIN.match(text) or b"xmlns" in text or b"<!" in text:
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314 - no document type, so no entity that could grow
    except (ET.ParseError, ValueError, LookupError):
        return None
    odd = root.attrib or any(_name(part) == _BAND and set(part.attrib) - {"band"} for part in root)
    return None if odd else root


def _keep(parent: ET.Element, predicate: Callable[[ET.Element], bool]) -> None:
    parent[:] = [part for part in parent if predicate(part)]


def _is_of_dataset(part: ET.Element) -> bool:
    if _name(part) == _METADATA:
        return _attribute(part, "domain") in ("", _ESRI)
    return _name(part) in (*_OF_DATASET, _BAND)


def _name(part: ET.Element) -> str:
    return part.tag.lower()  # as GDAL compares


def _attribute(part: ET.Element, name: str) -> str:
    values = (value for key, value in part.items() if key.lower() == name)
    return next(values, "").lower()


def refuse_values(item: StoredObject, header: Header, completed: Header) -> None:
    """Raise SourceError for a header that an .aux.xml gave NODATA_VALUES, which no reader looks for there."""
    if FileMask.values in completed.masks and FileMask.values not in header.masks:
        raise SourceError(
            f"{printable(auxiliary(item)[0])} names NODATA_VALUES, which is not read; write it into the file "
            "(gdal_translate -of COG), or say source.sidecars=ignore if these pixels count"
        )


def refuse_erdas(sidecar: str, text: bytes, header: Header) -> None:
    """Raise SourceError for an .aux that tells GDAL more than the header does, which no reader takes from there."""
    if says_more(text, header):
        raise SourceError(
            f"{printable(sidecar)} is an ERDAS Imagine file that names another nodata, CRS or place than the TIFF, "
            "which GDAL takes and we do not read; write it into the file (gdal_translate -of COG), or say "
            "source.sidecars=ignore if the TIFF is right"
        )
