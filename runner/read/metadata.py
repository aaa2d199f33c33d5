"""GDAL_METADATA, the XML in which GDAL keeps what TIFF has no tag for (https://gdal.org/en/stable/drivers/raster/gtiff.html)."""

from typing import Final
from xml.etree import ElementTree

from runner.read.ifd import Tag

GDAL_METADATA: Final = 42112  # the tag
_ROLES: Final = ("scale", "offset", "colorinterp", "description")
_NAMES: Final = ("nodata_values",)


def of_pixels(tag: Tag) -> Tag:
    """The tag without items that differ between scenes and do not matter, as dates and statistics.

    XML that is not well-formed, or more than a list of items, is left to GDAL unchanged.
    """
    items = _items(tag.raw.partition(b"\0")[0])
    if items is None:
        return tag
    root = ElementTree.Element("GDALMetadata")
    root.extend(item for item in items if _is_of_pixels(item))
    raw = ElementTree.tostring(root) + b"\0"
    return Tag(tag.number, 2, len(raw), raw)


def _is_of_pixels(item: ElementTree.Element) -> bool:
    """True if pixels, the rule which of them count, or the names of bands depend on it."""
    return item.get("role", "").lower() in _ROLES or item.get("name", "").lower() in _NAMES


def _items(xml: bytes) -> list[ElementTree.Element] | None:
    """The items of well-formed metadata in the form in which GDAL writes it, else None."""
    if b"<!DOCTYPE" in xml:  # entities of its own
        return None
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - no document type, so no entity that could grow
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    items = list(root)
    plain = all(item.tag == "Item" and not len(item) and all(map(str.islower, item.keys())) for item in items)
    return items if root.tag == "GDALMetadata" and plain else None
