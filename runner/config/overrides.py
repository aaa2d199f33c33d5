"""Overrides: as people type them, and as Hydra's grammar reads them.

A shell takes quotes away, and Hydra's grammar wants quotes of its own around a text with `=`, `,`, braces or brackets.
What type a key's value has settles what was meant, so that a text or a list needs no quotes but the shell's.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from runner.base.redact import names_a_secret
from runner.config.messages import no_secret
from runner.config.vocabulary import groups, is_list, is_option, is_text
from runner.errors import ConfigError

SHARED: Final = ("cluster", "statistics")  # keys of a stage that, alone, are all stages'
_QUOTED_ITEMS: Final = ("sweep.baseline", "sweep.objective")  # lists of words, whose commas never are a sweep
_CHOSEN: Final = re.compile(r"stages\.(\w+)\.(cluster|chunks)(\.kind)?")  # by name, in place of a group


def refuse_overrides(overrides: Iterable[str]) -> None:
    """Refuse a literal secret, or Python, on the command line, before anything can write it down or run it."""
    for override in overrides:
        key = override.partition("=")[0]
        if "_target_" in key or key.lstrip("+~").startswith("hydra.callbacks") or key.endswith("()"):
            raise ConfigError(f"{key}: a config holds values only and names no Python")
        if names_a_secret(override):
            raise no_secret(key)
        if override == f"{key}=null" and key in groups() - {"experiment"}:
            raise ConfigError(f"{override}: wanted an option of this group, which --help lists")


def as_hydra_reads(words: Iterable[str], *, multirun: bool = False) -> list[str]:
    """The overrides with the quotes and brackets that the types of their keys ask for.

    Values with commas are a sweep's in a multirun, and a list, or one text, in a single run.
    """
    return [_as_hydra_reads(_chosen_by_name(word), multirun) for word in words]


def without_escapes(word: str) -> str:
    """A word that Hydra's sweeper made: its text in quotes, in place of escapes that a job would take for text."""
    key, _, value = word.partition("=")
    escaped = "\\" in value and value[0] not in ("'", '"') and is_text(key.lstrip("+"))
    parsed = _parsed(word) if escaped else None
    if parsed is None or parsed.is_sweep_override():
        return word
    read = parsed.value()
    return f"{key}={_quoted(read)}" if isinstance(read, str) else word


def _as_hydra_reads(word: str, multirun: bool) -> str:
    key, _, value = word.partition("=")
    name = key.lstrip("+")
    if name == "statistics":
        name = "stages.any.statistics"
    if value in ("", "null"):
        return word
    if is_list(name):
        return _list(word, key, value, multirun and name not in _QUOTED_ITEMS)
    return _text(word, key, value, multirun) if is_text(name) else word


def _chosen_by_name(word: str) -> str:
    """`stages.X.cluster=processes`, and `...cluster.kind=processes`, as the choice of a group; others as they are."""
    key, mark, value = word.partition("=")
    if key == "cluster.kind":
        return f"cluster={value}"
    stage = _CHOSEN.fullmatch(key)
    if not mark or stage is None:
        return word
    group, options = stage[2], value.split(",")
    if not all(re.fullmatch(r"\w+", option) for option in options) or options == ["null"]:
        return word
    return f"{group}@stages.{stage[1]}.{group}={value}"


def _list(word: str, key: str, value: str, multirun: bool) -> str:
    parsed = _parsed(word)
    typed = value.startswith("[") and value.endswith("]")
    if parsed is not None and (_is_function(parsed) or (multirun and parsed.is_sweep_override())):
        return word
    if typed and parsed is not None and key.lstrip("+") not in _QUOTED_ITEMS:
        return word
    items = ",".join(map(_quoted, _parts(value[1:-1] if typed else value)))
    return f"{key}=[{items}]"


def _text(word: str, key: str, value: str, multirun: bool) -> str:
    if value[0] in ("'", '"'):
        return word
    parsed = _parsed(word)
    if parsed is not None and (_is_function(parsed) or (multirun and parsed.is_sweep_override())):
        return word
    if parsed is not None and not parsed.is_sweep_override():
        read = parsed.value()
        if str(read) == value or (multirun and isinstance(read, str)):
            return word
    return f"{key}={','.join(map(_quoted, _parts(value) if multirun else [value]))}"


def _is_function(parsed: Override) -> bool:
    """Whether the value is a call such as choice(a,b) or range(1,9)."""
    return parsed.is_sweep_override() and parsed.value_type is not ValueType.SIMPLE_CHOICE_SWEEP


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


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


# --- of all stages ----------------------------------------------------------------------------------------------------


def is_shared(word: str) -> bool:
    """Whether it sets one key of every stage, as `cluster=processes` and `cluster.n_workers=2` do."""
    return word.partition("=")[0].lstrip("+").partition(".")[0] in SHARED and "=" in word


def for_each_stage(words: Sequence[str], stages: Iterable[str], choices: Collection[str]) -> list[str]:
    """The overrides with those for all stages written out, first: what names its stage counts more.

    `choices` are the `GROUP@PACKAGE` that the defaults have; an option of another package is added to them.
    """
    own = [word for word in words if not is_shared(word)]
    named = {word.partition("=")[0].lstrip("+~") for word in own}
    names = list(stages)
    written = (_of_stage(word, name, choices) for word in words if is_shared(word) for name in names)
    return [*(word for word in written if word.partition("=")[0].lstrip("+") not in named), *own]


def _of_stage(word: str, stage: str, choices: Collection[str]) -> str:
    key, _, value = word.partition("=")
    name = key.lstrip("+")
    if name != "cluster":
        return f"stages.{stage}.{name}={value}"
    if not is_option("cluster", value) and re.search(r"[{\[]", value):
        raise ConfigError(f"{word}: give one of the cluster's names, such as cluster=processes, or keys of its own, "
                          "such as cluster.n_workers=2")  # fmt: skip
    package = f"cluster@stages.{stage}.cluster"
    return f"{'' if package in choices else '+'}{package}={value}"
