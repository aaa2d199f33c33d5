"""Further columns of a table or properties of an item, as text."""

from collections.abc import Hashable, Mapping
from datetime import date


def text_columns(values: Mapping[Hashable, object]) -> tuple[tuple[str, str], ...]:
    """Numbers, texts, times and booleans as text, by their names; none where a value is missing."""
    return tuple(
        (str(name), str(value))
        for name, value in values.items()
        if isinstance(value, (str, int, float, date)) and value == value and not str(name).startswith("Unnamed:")  # noqa: PLR0124
    )
