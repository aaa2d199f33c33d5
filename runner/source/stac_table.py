"""STAC items of a stac-geoparquet table: a row an item, its properties as columns.

Source: stac-geoparquet specification 1.1.
"""

from io import BytesIO
from typing import Any, Final

from runner.errors import SourceError, printable
from runner.read.services import is_remote
from runner.source.documents import read_document
from runner.source.stac_catalog import Item, checked
from runner.source.stores import Stores

ENDINGS: Final = (".parquet", ".geoparquet", ".pq")
_NO_PROPERTIES: Final = ("type", "stac_version", "stac_extensions", "id", "collection", "bbox", "links", "assets")
_NOT_READ: Final = ("geometry", "proj:geometry")


def read_table(url: str, stores: Stores) -> list[Item]:
    """The items of a table. Raises SourceError."""
    import pyarrow as pa  # noqa: PLC0415 - of tables alone
    from pyarrow import parquet  # noqa: PLC0415 - of tables alone

    file = BytesIO(read_document(url, "table of STAC items", stores)) if is_remote(url) else url
    try:
        table = parquet.ParquetFile(file)
        columns = [name for name in table.schema_arrow.names if name not in _NOT_READ]
        rows = table.read(columns).to_pylist()
    except FileNotFoundError as error:
        raise SourceError(f"{printable(url)}: there is no such table of STAC items") from error
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{printable(url)}: not a Parquet table of STAC items (stac-geoparquet)") from error
    if not {"id", "assets"} <= set(columns):
        raise SourceError(
            f"{printable(url)}: wanted the columns id and assets of a stac-geoparquet table; a table with the columns "
            "href and datetime is read by source=manifest"
        )
    return [Item(checked(_item(row), url), url) for row in rows]


def _item(row: dict[str, Any]) -> dict[str, Any]:
    """A row as an item in JSON is; what is missing in a row is none of its own."""
    properties = {name: value for name, value in row.items() if name not in _NO_PROPERTIES and value is not None}
    item = {name: row[name] for name in ("id", "collection", "links", "bbox") if row.get(name) is not None}
    assets = row["assets"]
    pairs = assets.items() if isinstance(assets, dict) else assets or ()  # a struct, or a map
    return {**item, "properties": properties, "assets": {name: _plain(asset) for name, asset in pairs if asset}}


def _plain(value: Any) -> Any:
    """A value without the keys that other rows alone have."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    return [_plain(part) for part in value] if isinstance(value, list) else value
