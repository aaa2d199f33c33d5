"""Words of a sweep's own settings: as they are typed, and as Hydra reads them."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from runner import config
from runner.errors import ConfigError

_LISTS: Final = ("sweep.baseline", "sweep.objective")


def as_hydra_reads(word: str) -> str:
    """One of the lists, in brackets or not, as a list of quoted words; any other word as it is.

    Hydra's grammar has no `=` in a value without quotes, a shell takes quotes away, and one value is no list.
    """
    key, _, value = word.partition("=")
    if key.lstrip("+") not in _LISTS or value in ("", "null"):
        return word
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return f"{key}=[{','.join(map(_quoted, _parts(inner)))}]"


def _parts(text: str) -> Iterator[str]:
    """The text between commas that stand in no brackets or quotes."""
    depth, quote, start = 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[at - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == "," and depth == 0:
            yield text[start:at]
            start = at + 1
        else:
            depth += (char in "[{(") - (char in ")}]")
    if text:
        yield text[start:]


def _quoted(text: str) -> str:
    """In single quotes, those within escaped, and backslashes that stand before a quote, as the grammar asks."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        return text
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"


def check_baseline(words: Sequence[str]) -> None:
    """Raises ConfigError for words that no job may have."""
    config.refuse_overrides(list(words))
    for word in words:
        if word.lstrip("+~").startswith("sweep."):
            raise ConfigError(
                f"sweep.baseline={word}: that is the whole sweep's; give a job's words, such as chunks=row"
            )
