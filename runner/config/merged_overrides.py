"""Overrides of an attempt and of those before it, merged into those of one command that means the same.

An attempt starts from the config of the one before, and what it is given counts more. On one command line, keys count
more than the option of a group that has them, and those of one stage more than those of all stages.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from runner.base.overrides import Override, parse
from runner.config.overrides import SHARED, chosen_by_name
from runner.config.vocabulary import groups


def merged(before: Iterable[str], later: Collection[str], stages: Collection[str]) -> list[str]:
    """The overrides of earlier attempts and of a `later` one, without those whose values the later one replaces."""
    replacing = _Replacing.of(map(parse, later), stages)
    return once_each([*(str(left) for word in before for left in replacing.left_of(parse(word))), *later])


class _Replacing(NamedTuple):
    """What the overrides of a later attempt set: their keys as typed, and the places in the config."""

    stages: Collection[str]
    keys: frozenset[str]
    places: frozenset[str]
    sections: tuple[str, ...]  # which an option gives anew, or takes away (~), with all that was below

    @classmethod
    def of(cls, later: Iterable[Override], stages: Collection[str]) -> "_Replacing":
        words = list(later)
        giving = [override for override in words if override.value is not None]
        places = {override: list(_places(override, stages)) for override in words}
        sections = (place for override in words if _is_option(override) for place in places[override])
        return cls(
            stages,
            frozenset(chosen_by_name(override).key for override in giving),
            frozenset(place for override in giving for place in places[override]),
            tuple(f"{section}." for section in sections),
        )

    def left_of(self, override: Override) -> Iterator[Override]:
        """An earlier override, or what it sets of some stages, as far as nothing replaces it."""
        places = list(_places(override, self.stages))
        kept = [place for place in places if not place.startswith(self.sections)]
        if chosen_by_name(override).key in self.keys:  # which `once_each` replaces
            kept = places
        elif self.places.issuperset(kept):
            return
        yield from [override] if kept == places else (replace(override, key=place) for place in kept)


def _places(override: Override, stages: Collection[str]) -> Iterator[str]:
    """The keys that an override sets, each stage's own if it is for all stages; of an option the key of its section."""
    chosen = chosen_by_name(override)
    group, _, package = chosen.key.partition("@")
    if chosen.key.partition(".")[0] in SHARED:
        yield from (f"stages.{stage}.{chosen.key}" for stage in stages)
    else:
        yield package if package and group in groups() else chosen.key


def _is_option(override: Override) -> bool:
    return chosen_by_name(override).key.partition("@")[0] in groups()


def once_each(words: Iterable[str]) -> list[str]:
    """The overrides, in their order, without those whose value a later one of the same key replaces.

    A `+` of the earlier one stays, by which the key is added. Keys that are left out, and mappings, which are merged
    with what was there, replace nothing.
    """
    overrides: list[Override] = []
    for override in map(parse, words):
        earlier = next((one for one in overrides if _replaces(override, one)), None)
        if earlier is not None:
            overrides.remove(earlier)
        overrides.append(replace(override, mark=override.mark or earlier.mark) if earlier else override)
    return [str(override) for override in overrides]


def _replaces(later: Override, earlier: Override) -> bool:
    """True if both give a value to one key, whichever of its names they use, and that of the earlier is lost."""
    both = (later, earlier)
    gives = all(one.mark != "~" and one.value is not None for one in both) and not later.text.startswith("{")
    return gives and len({chosen_by_name(one).key for one in both}) == 1
