"""The scenes of an archive, chosen by their named groups, and parted by them into stacks."""

import fnmatch
import glob
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runner.base.humanize import listed as several
from runner.base.suggest import did_you_mean
from runner.errors import ConfigError, SourceError, printable
from runner.model import LeftOut
from runner.settings import SourceKind, SourceSettings
from runner.source.names import Candidate

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.+=-]+")  # in the name of a folder
_LONGEST: Final = 80  # characters of a folder's name
_ABSENT: Final = "none"  # stands in a folder's name for a group that scenes do not have
_MOST_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Part:
    """The scenes of one stack, before their headers are read; `values` has its groups, None for one they lack."""

    name: str
    values: dict[str, str | None]
    candidates: tuple[Candidate, ...]
    band: int | str | None = None  # one of source.bands; None reads source.band

    @property
    def files(self) -> tuple[str, ...]:
        """The hrefs of its scenes, which stacks of other bands may share."""
        return tuple(scene.item.href for scene in self.candidates)

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of its scenes' objects; None if the listing does not tell them."""
        sizes = [candidate.item.size for candidate in self.candidates]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def groups(self) -> dict[str, str | None]:
        """The values of its named groups."""
        return {name: value for name, value in self.values.items() if self.band is None or name != "band"}

    @property
    def where(self) -> dict[str, Any]:
        """The setting `source.where` that takes these scenes and no others."""
        return {name: value if value is None else glob.escape(value) for name, value in self.groups.items()}


def keep_where(source: SourceSettings, named: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """The scenes that `source.where` takes, and the others with the reason.

    Raises ConfigError for a group that no scene has, SourceError if none is left or one of a list of values has none.
    """
    for name in source.where:
        refuse_unknown_group(f"source.where.{name}", name, source, named)
    kept: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in named:
        reason = _reason(source.where, candidate)
        if reason is None:
            kept.append(candidate)
        else:
            left_out.append(LeftOut(candidate.item, candidate.scene, candidate.time, reason))
    if named and not kept:
        raise SourceError(f"source.where leaves none of {len(named)} scenes: {_values_there(source.where, named)}")
    return kept, left_out


def unmatched_where(source: SourceSettings, named: Sequence[Candidate]) -> list[str]:
    """A line for each condition with values that match no scene, though others of its list do."""
    lines = []
    for name, wanted in source.where.items():
        values = {candidate.groups.get(name) for candidate in named}
        alone = [item for item in (wanted if isinstance(wanted, list) else []) if not _any_matches(values, item)]
        if alone:
            lines.append(f"source.where.{name}: no scene matches {_shown(alone)}; there are {_most(named, name)}")
    return lines


def _any_matches(values: Iterable[str | None], wanted: object) -> bool:
    return any(_matches(value, wanted) for value in values)


def _reason(where: Mapping[str, Any], candidate: Candidate) -> str | None:
    """The condition that a scene does not meet; None if it meets all."""
    for name, wanted in where.items():
        value = candidate.groups.get(name)
        if not any(_matches(value, item) for item in (wanted if isinstance(wanted, list) else [wanted])):
            return f"source.where.{name} does not match {'null' if value is None else value}"
    return None


def _matches(value: str | None, wanted: object) -> bool:
    """Tell if a value is the wanted one or fits its pattern. A number or a switch is taken for its text."""
    if value is None or wanted is None:
        return value is wanted
    text = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
    return fnmatch.fnmatchcase(value, text) or (isinstance(wanted, bool) and value.lower() == text)


def _values_there(where: Mapping[str, Any], named: Sequence[Candidate]) -> str:
    """The values that groups of a condition have."""
    return "; ".join(
        f"source.where.{name}={_shown(wanted)}, and '{printable(name)}' is {_most(named, name)}"
        for name, wanted in where.items()
    )


def _shown(wanted: object) -> str:
    if isinstance(wanted, list):
        return f"[{','.join(map(_shown, wanted))}]"
    return "null" if wanted is None else printable(str(wanted))


def _most(named: Iterable[Candidate], name: str) -> str:
    counts = Counter(candidate.groups.get(name, "null") for candidate in named)
    return several([printable(value) for value in sorted(counts)], _MOST_NAMED)


def refuse_unknown_group(key: str, name: str, source: SourceSettings, named: Sequence[Candidate]) -> None:
    """Raise ConfigError for a group that no scene has, with those that there are."""
    known = sorted({group for candidate in named for group in candidate.groups})
    if name in known or not named:
        return
    way = (
        "add such a column to the manifest"
        if source.kind is SourceKind.manifest
        else f"name it in source.datetime_regex, as by (?P<{name}>...)"
    )
    there = f"there are {', '.join(map(printable, known))}" if known else "the scenes have no named groups"
    raise ConfigError(
        f"{key}: no scene has the group '{printable(name)}'; {there}{did_you_mean(name, known)}"
        + ("" if did_you_mean(name, known) else f"; {way}")
    )


# --- stacks -----------------------------------------------------------------------------------------------------


def part(source: SourceSettings, named: Sequence[Candidate]) -> list[Part]:
    """The stacks that `source.stack_by` parts these scenes into, ordered by their values.

    A stack goes by its values, joined by `_`, as a folder may be named; names that would be alike get a digest more.
    Raises ConfigError for a group that no scene has.
    """
    for name in source.stack_by:
        refuse_unknown_group("source.stack_by", name, source, named)
    stacks: dict[tuple[str | None, ...], list[Candidate]] = {}
    for candidate in named:
        stacks.setdefault(tuple(candidate.groups.get(name) for name in source.stack_by), []).append(candidate)
    ordered = sorted(stacks, key=lambda values: [(value is None, value or "") for value in values])
    names = names_of(ordered)
    return [
        Part(names[values], dict(zip(source.stack_by, values, strict=True)), tuple(stacks[values]))
        for values in ordered
    ]


def names_of(stacks: Sequence[tuple[str | None, ...]]) -> dict[tuple[str | None, ...], str]:
    """A name for each combination of values; also where upper and lower case are one, as on some file systems."""
    plain = {values: _name(values) for values in stacks}
    counts = Counter(name.casefold() for name in plain.values())
    return {
        values: f"{name}-{_digest(values)}" if counts[name.casefold()] > 1 or len(name) > _LONGEST else name
        for values, name in ((values, name[: _LONGEST + 1]) for values, name in plain.items())
    }


def _name(values: Sequence[str | None]) -> str:
    parts = [_UNSAFE.sub("-", _ABSENT if value is None else value).strip("-") for value in values]
    name = "_".join(parts)
    return f"-{name}".replace("-.", "-", 1) if name.startswith(".") or not name.strip("_") else name


def _digest(values: Sequence[str | None]) -> str:
    return hashlib.sha256(repr(list(values)).encode()).hexdigest()[:8]
