"""Overrides: from the command line to what Hydra's grammar reads.

A shell takes quotes away, and Hydra's grammar wants quotes of its own around a text with `=`, `,`, braces or brackets.
The type of a key's value settles what was meant, so that a text or a list needs no quotes but the shell's.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override as ParsedOverride
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from runner.base.overrides import Override, key_of, parse, quoted
from runner.base.redact import names_a_secret
from runner.config.messages import no_secret
from runner.config.vocabulary import groups, is_list, is_option, is_text, options_of
from runner.errors import ConfigError

SHARED: Final = ("cluster", "statistics")  # keys of a stage that, alone, are all stages'
_QUOTED_ITEMS: Final = ("sweep.baseline", "sweep.objective")  # lists of overrides, whose commas never are a sweep
_GROUPS: Final = "source.where."  # below which stand named groups, each with a text or a list of texts
_CHOSEN: Final = re.compile(r"(stages\.\w+|archive)\.(cluster|chunks)(\.kind)?")  # by name, in place of a group


def refuse_overrides(words: Iterable[str]) -> None:
    """Raise ConfigError for a literal secret, or Python, on the command line, before anything can write or run it."""
    for word in words:
        override = parse(word)
        if "_target_" in override.key or override.key.startswith("hydra.callbacks") or override.key.endswith("()"):
            raise ConfigError(f"{override.left}: a config holds values only and names no Python")
        if names_a_secret(word):
            raise no_secret(override.left)
        if override.value == "null" and override.left in groups() - {"experiment"}:
            raise ConfigError(f"{word}: wanted an option of this group, which --help lists")
        _refuse_unnamed_option(override)


def _refuse_unnamed_option(override: Override) -> None:
    """Raise ConfigError for a number, true or false in place of an option's name. A mapping changes keys."""
    chosen = chosen_by_name(override)
    group, _, package = chosen.key.partition("@")
    if chosen.mark == "~" or group not in groups():
        return
    for part in _parts(chosen.text):
        parsed = _parsed(f"{group}={part}")
        value = None if parsed is None or parsed.is_sweep_override() else parsed.value()
        if isinstance(value, (int, float)):
            kind = "true or false" if isinstance(value, bool) else "a number"
            key = package or group
            workers = f"; for {value} workers: {key}=processes {key}.n_workers={value}"
            raise ConfigError(
                f"{override}: got {kind}, wanted the name of an option; there are {', '.join(options_of(group))}"
                f"{workers if group == 'cluster' and type(value) is int and value > 0 else ''}"
            )


def as_hydra_reads(words: Iterable[str], *, multirun: bool = False) -> list[str]:
    """The overrides with the quotes and brackets that the types of their keys ask for.

    Values with commas are a sweep's in a multirun, and a list, or one text, in a single run.
    """
    return [str(_as_hydra_reads(chosen_by_name(parse(word)), multirun)) for word in words]


def without_escapes(word: str) -> str:
    """An override of Hydra's sweeper with its text in quotes, in place of escapes that a job would take for text."""
    override = parse(word)
    escaped = "\\" in override.text and override.text[0] not in ("'", '"') and is_text(override.key)
    parsed = _parsed(word) if escaped else None
    if parsed is None or parsed.is_sweep_override():
        return word
    value = parsed.value()
    return str(override.put(_quoted(value))) if isinstance(value, str) else word


def _as_hydra_reads(override: Override, multirun: bool) -> Override:
    of_stages = override.key == "statistics" or override.key.startswith("cluster.")
    name = f"stages.any.{override.key}" if of_stages else override.key
    of_group = name.startswith(_GROUPS)
    if override.text in ("", "null") or not (is_list(name) or is_text(name) or of_group):
        return override
    parsed = _parsed(str(override))
    swept = multirun and name not in _QUOTED_ITEMS
    if parsed is not None and (_is_function(parsed) or (swept and parsed.is_sweep_override())):
        return override
    in_brackets = override.text.startswith("[") and override.text.endswith("]")
    several = in_brackets or (of_group and "," in override.text)
    listed = several if of_group or is_text(name) else is_list(name)
    return _list(override, parsed) if listed else _text(override, parsed, multirun)


def chosen_by_name(override: Override) -> Override:
    """`stages.X.cluster=processes`, and `...cluster.kind=processes`, as the choice of a group; others as they are."""
    if override.left == "cluster.kind":
        return Override("", "cluster", override.text)
    chosen = _CHOSEN.fullmatch(override.left)
    if override.value is None or chosen is None:
        return override
    group, options = chosen[2], override.value.split(",")
    if not all(re.fullmatch(r"\w+", option) for option in options) or options == ["null"]:
        return override
    return Override("", f"{group}@{chosen[1]}.{group}", override.value)


def _list(override: Override, parsed: ParsedOverride | None) -> Override:
    value = override.text
    in_brackets = value.startswith("[") and value.endswith("]")
    if in_brackets and parsed is not None and override.key not in _QUOTED_ITEMS:
        return override
    items = ",".join(map(_quoted, _parts(value[1:-1] if in_brackets else value)))
    return override.put(f"[{items}]")


def _text(override: Override, parsed: ParsedOverride | None, multirun: bool) -> Override:
    if override.text[0] in ("'", '"'):
        return override
    if parsed is not None and not parsed.is_sweep_override():
        value = parsed.value()
        if str(value) == override.text or (multirun and isinstance(value, str)):
            return override
    texts = _parts(override.text) if multirun else [override.text]
    return override.put(",".join(map(_quoted, texts)))


def _is_function(parsed: ParsedOverride) -> bool:
    """Tell if the value is a call such as choice(a,b) or range(1,9)."""
    return parsed.is_sweep_override() and parsed.value_type is not ValueType.SIMPLE_CHOICE_SWEEP


def _parsed(word: str) -> ParsedOverride | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def _parts(text: str) -> Iterator[str]:
    """The text between commas that stand in no brackets or quotes."""
    depth, quote, start = 0, "", 0
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[position - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == "," and depth == 0:
            yield text[start:position]
            start = position + 1
        else:
            depth += (char in "[{(") - (char in ")}]")
    if text:
        yield text[start:]


def _quoted(text: str) -> str:
    """A text in quotes, unless it has some already."""
    text = text.strip()
    return text if text[:1] in ("'", '"') else quoted(text)


# --- of all stages ----------------------------------------------------------------------------------------------------


def is_shared(word: str) -> bool:
    """Tell if an override sets one key of every stage, as `cluster=processes` and `cluster.n_workers=2` do."""
    override = parse(word)
    return override.mark != "~" and override.value is not None and override.key.partition(".")[0] in SHARED


def for_each_stage(words: Sequence[str], stages: Iterable[str], choices: Collection[str]) -> list[str]:
    """The overrides with those for all stages written out, first: what names its stage counts more.

    `choices` are the `GROUP@PACKAGE` that the defaults have; an option of another package is added to them.
    """
    own = [word for word in words if not is_shared(word)]
    own_keys = set(map(key_of, own))
    names = list(stages)
    of_stages = [_of_stage(word, name, choices) for word in words if is_shared(word) for name in names]
    return [*(word for word in of_stages if key_of(word) not in own_keys), *own]


def _of_stage(word: str, stage: str, choices: Collection[str]) -> str:
    override = parse(word)
    if override.key != "cluster":
        return str(Override("", f"stages.{stage}.{override.key}", override.text))
    if not is_option("cluster", override.text) and re.search(r"[{\[]", override.text):
        raise ConfigError(f"{word}: give one of the cluster's names, such as cluster=processes, or keys of its own, "
                          "such as cluster.n_workers=2")  # fmt: skip
    package = f"cluster@stages.{stage}.cluster"
    return str(Override("" if package in choices else "+", package, override.text))
