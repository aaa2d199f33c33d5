"""GDAL_METADATA: scales and offsets as GDAL reads them, in any form, and in time that grows with its length."""

import time

import pytest
from rasterio.io import MemoryFile
from tiff_files import header_of, strips, tags_of, tiff

from runner.read.ifd import Tag
from runner.read.metadata import of_pixels


def item(attributes: str, text: str = "0.5") -> str:
    return f"<Item {attributes}>{text}</Item>"


def listed(*items: str) -> str:
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"


SCALE = item('name="SCALE" sample="0" role="scale"')
DOCUMENT_TYPE = '<!DOCTYPE a [<!ENTITY half "0.5">]>'
FORMS: dict[str, str | bytes] = {
    "as GDAL writes it": listed(SCALE, item('name="OFFSET" sample="0" role="offset"', "-7")),
    "attributes in another order": listed(item('role="scale" sample="0" name="SCALE"')),
    "single quotes": listed(item("role='scale' sample='0' name='SCALE'")),
    "no quotes": listed(item("role=scale sample=0 name=SCALE")),
    "an entity": listed(item('name="a&lt;b" sample="0" role="scale"', "0&#46;5")),
    "an end sign in an attribute": listed(item('name="a>b" sample="0" role="scale"')),
    "character data": listed(item('name="SCALE" sample="0" role="scale"', "<![CDATA[0.5]]>")),
    "upper case": listed(item('name="SCALE" sample="0" role="SCALE"')),
    "an attribute in upper case": listed(item('name="SCALE" sample="0" ROLE="scale"')),
    "an item in lower case": listed(SCALE.replace("Item", "item")),
    "a comment": listed(f"<!-- {SCALE} -->"),
    "a role of its own": listed('<Item name="SCALE" sample="0">0.5<role>scale</role></Item>'),
    "deeper": listed(listed(SCALE)),
    "a declaration": '<?xml version="1.0" encoding="UTF-8"?>' + listed(SCALE),
    "an unknown encoding": '<?xml version="1.0" encoding="klingon"?>' + listed(SCALE),
    "a document type": DOCUMENT_TYPE + listed(item('name="SCALE" sample="0" role="scale"', "&half;")),
    "a bare ampersand": listed(SCALE, item('name="NOTE"', "salt & pepper")),
    "Latin-1": listed(SCALE, item('name="NOTE"', "\xfcber")).encode("latin-1"),
    "twice": listed(SCALE, item('name="SCALE" sample="0" role="scale"', "4")),
    "of another band": listed(item('name="SCALE" sample="1" role="scale"')),
    "empty": listed(item('name="SCALE" sample="0" role="scale"', "")),
    "cut": listed(SCALE)[:-20],
    "nothing": "",
}


@pytest.mark.parametrize("xml", FORMS.values(), ids=FORMS.keys())
def test_scales_are_what_gdal_reads(xml: str | bytes) -> None:
    raw = (xml if isinstance(xml, bytes) else xml.encode()) + b"\0"
    content = tiff({**tags_of("none", 8), 42112: (2, list(raw))}, strips("none"))
    header = header_of(content)
    with MemoryFile(content) as memory, memory.open() as dataset:
        assert (header.scales, header.offsets) == (dataset.scales, dataset.offsets)


def test_what_differs_from_scene_to_scene_is_left_out() -> None:
    tags = [Tag(42112, 2, 0, listed(SCALE, item('name="DATE"', day)).encode()) for day in ("monday", "tuesday")]
    assert of_pixels(tags[0]) == of_pixels(tags[1])


@pytest.mark.parametrize("part", ["<Item ", "<Item role='scale' ", "role='scale' ", "<a>", "<Item>", "<![CDATA[", "&"])
@pytest.mark.parametrize("before", ["", "<GDALMetadata>", "<GDALMetadata><Item "])
def test_damaged_metadata_takes_no_longer_than_its_length(part: str, before: str) -> None:
    raw = (before + part * (100_000 // len(part))).encode()
    start = time.thread_time()
    of_pixels(Tag(42112, 2, len(raw), raw))
    assert time.thread_time() - start < 10  # what grows with its square takes minutes
