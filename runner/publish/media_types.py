"""The media types of a run's files, as a bucket and a STAC asset name them."""

from pathlib import PurePath
from typing import Final

COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_BY_SUFFIX: Final = {
    ".tif": COG,
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".html": "text/html",
    ".yaml": "application/yaml",
    ".log": "text/plain",
}
_BY_NAME: Final = {"item.json": "application/geo+json"}


def media_type(name: str) -> str:
    """The media type of a file by its name."""
    path = PurePath(name)
    return _BY_NAME.get(path.name) or _BY_SUFFIX.get(path.suffix, "application/octet-stream")
