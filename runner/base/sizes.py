"""Sizes as people type them: 64MiB, 2 GB, 1e6; as dask reads them, whose settings have the same form."""

import re
from typing import Final

_UNITS: Final = {"": 1, "b": 1} | {
    f"{prefix}{rest}": base**power
    for power, prefix in enumerate("kmgtp", start=1)
    for base, rests in ((1000, ("", "b")), (1024, ("i", "ib")))
    for rest in rests
}


def parse_bytes(text: str) -> int:
    """The number of bytes; a unit alone is one of it. Raises ValueError, and OverflowError for more than a float."""
    plain = text.replace(" ", "")
    unit = re.search(r"[^\W\d_]*$", plain)
    assert unit is not None  # the pattern takes nothing too
    number = plain[: unit.start()]
    if unit.group().lower() not in _UNITS:
        raise ValueError(f"{unit.group()} is not a unit of bytes")
    return int(float(number or 1) * _UNITS[unit.group().lower()])
