"""Objects that a wide pattern matches beside the scenes: sidecars, metadata, checksums."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from runner.errors import printable
from runner.model import StoredObject
from runner.source.hints import is_tiff
from runner.source.sidecars import may_be_sidecar

_NOT_READ: Final = (".ovr", ".json", ".xml", ".txt")  # of overviews, metadata and checksums
NO_SCENE: Final = "not a TIFF by its name"
_MOST_NAMED: Final = 4


def split_scenes(items: Sequence[StoredObject]) -> tuple[list[StoredObject], list[StoredObject]]:
    """Objects that may be scenes, and what a wide pattern matches beside them.

    Where there are TIFFs by their names, all others stand beside them; else those that end like a sidecar.
    """
    tiffs = any(is_tiff(item.href) for item in items)
    others = [item for item in items if (not is_tiff(item.href) if tiffs else _is_beside(item.href))]
    excluded = set(others)
    return ([item for item in items if item not in excluded], others) if len(others) < len(items) else ([*items], [])


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
