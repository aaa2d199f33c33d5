"""Scenes with more clouds than `source.max_cloud`, by what is stated of them."""

from collections.abc import Sequence
from math import isfinite
from typing import Final

from runner.errors import SourceError, printable
from runner.model import LeftOut
from runner.settings import SourceSettings
from runner.source.names import Candidate

_NAMES: Final = ("eo_cloud_cover", "eo:cloud_cover")  # of STAC items, whose names become words; of manifests


def keep_clear(source: SourceSettings, named: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """The scenes of at most `source.max_cloud` percent, and the others with the reason.

    Raises SourceError where no scene has the property, or one has another value than a number.
    """
    if source.max_cloud is None:
        return [*named], []
    covers = [_cover(candidate) for candidate in named]
    if named and all(cover is None for cover in covers):
        raise SourceError(
            f"source.max_cloud={source.max_cloud:g}: no scene has eo:cloud_cover, which STAC items state "
            "(source=stac), or a manifest in a column of that name (source=manifest)"
        )
    reasons = [_reason(source.max_cloud, cover) for cover in covers]
    kept = [candidate for candidate, reason in zip(named, reasons, strict=True) if reason is None]
    left_out = [
        LeftOut(candidate.item, candidate.scene, candidate.time, reason)
        for candidate, reason in zip(named, reasons, strict=True)
        if reason is not None
    ]
    return kept, left_out


def _reason(most: float, cover: float | None) -> str | None:
    if cover is None:
        return f"source.max_cloud={most:g}: no eo:cloud_cover"
    return f"source.max_cloud={most:g}: eo:cloud_cover is {cover:g}" if cover > most else None


def _cover(candidate: Candidate) -> float | None:
    """The percent of a scene that is cloudy; None if it is not stated. Raises SourceError."""
    text = next((candidate.groups[name] for name in _NAMES if name in candidate.groups), None)
    if text is None:
        return None
    try:
        cover = float(text)
    except ValueError:
        cover = float("nan")
    if not isfinite(cover):
        raise SourceError(
            f"{printable(candidate.item.href)}: eo:cloud_cover is {printable(text)}, wanted percent; "
            "source.max_cloud=null does not ask for it"
        )
    return cover
