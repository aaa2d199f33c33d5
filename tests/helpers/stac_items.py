"""Small STAC items as JSON, and catalogs of them on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def make_item(name: str, time: str | None = "2020-01-06T10:00:00Z", **changes: Any) -> dict[str, Any]:
    """An item of the collection `c` with the assets red and thumbnail beside it; `changes` replace its parts."""
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "c",
        "geometry": None,
        "bbox": [10.0, 40.0, 11.0, 41.0],
        "properties": {"datetime": time, "platform": "s2a", "eo:cloud_cover": 12.5, "seen": True, "nested": {"a": 1}},
        "links": [],
        "assets": {"red": {"href": f"./{name}.tif"}, "thumbnail": {"href": f"{name}.png"}},
    }
    return {**item, **changes}


def collection_of(items: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items), **more}


def link(rel: str, href: str, **more: Any) -> dict[str, Any]:
    return {"rel": rel, "href": href, **more}


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_catalog(root: Path, items: Sequence[dict[str, Any]]) -> Path:
    """A catalog of one collection, each item in a folder of its own; the catalog's file."""
    for item in items:
        write_json(root / "c" / item["id"] / f"{item['id']}.json", item)
    links = [link("root", "../catalog.json"), *(link("item", f"./{item['id']}/{item['id']}.json") for item in items)]
    write_json(root / "c/collection.json", {"type": "Collection", "id": "c", "links": links})
    children = [link("self", "https://elsewhere.example/catalog.json"), link("child", "./c/collection.json")]
    return write_json(root / "catalog.json", {"type": "Catalog", "id": "all", "links": children})
