"""Further columns of a table or properties of an item, as text."""

from collections.abc import Hashable, Mapping
from datetime import date

from runner.base.redact import redact


def text_columns(values: Mapping[Hashable, object]) -> tuple[tuple[str, str], ...]:
    """Numbers, texts, times and booleans as text, by their names; none where a value is missing."""
    return tuple(
        (str(name), _safe(str(value)))
        for name, value in values.items()
        if isinstance(value, (str, int, float, date)) and value == value and not str(name).startswith("Unnamed:")  # noqa: PLR0124
    )


def _safe(text: str) -> str:
    """A text as tables of results may hold it: without the signature or the password of an address."""
    return redact(text) if "://" in text else text
