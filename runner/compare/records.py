"""Differences of two runs in config, code, kernels, packages, inputs and values, as lines for people."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner.base.humanize import plural
from runner.base.overrides import as_text
from runner.base.tree import flat
from runner.compare.sections import ABSENT, Difference, Section
from runner.record.run import Code
from runner.record.run_files import RecordedInput
from runner.record.run_folder import RunFolder

_OWN = frozenset({"output.dir"})  # each run has its own


def compare(a: RunFolder, b: RunFolder, only: Iterable[str] | None = None) -> list[Section]:
    """The sections of `only`, or all. Raises RecordError for results that cannot be read."""
    return [SECTIONS[name](a, b) for name in (only or SECTIONS)]


def config(a: RunFolder, b: RunFolder) -> Section:
    """Dotted settings, but for the folders the runs were written to."""
    ours, theirs = (_texts({key: of for key, of in flat(run.config).items() if key not in _OWN}) for run in (a, b))
    return Section("config", _unequal(ours, theirs))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: as_text(value) for key, value in values.items()}


def _unequal(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[Difference]:
    keys = dict.fromkeys([*ours, *theirs])
    pairs = ((key, ours.get(key, ABSENT), theirs.get(key, ABSENT)) for key in keys)
    return [Difference(key, one, other) for key, one, other in pairs if one != other]


def code(a: RunFolder, b: RunFolder) -> Section:
    """The commit, and what was changed since it."""
    ours, theirs = a.record.code, b.record.code
    found = _unequal(*({"commit": one.commit if one else "installed"} for one in (ours, theirs)))
    found += _unequal(*({"uncommitted changes": _changes(one)} for one in (ours, theirs)))
    changed = [one for one in (ours, theirs) if one and one.dirty]
    unknown = len(changed) == 2 and not all(one.is_whole for one in changed)
    notes = ["both had uncommitted changes that were not recorded whole, so that these are not compared"]
    return Section("code", found, f"commit {ours.commit}" if ours else "installed", notes if unknown else [])


def _changes(code: Code | None) -> str:
    if code is None or not code.dirty:
        return "none"
    if not code.is_whole or code.diff is None:
        return "not recorded whole"
    digest = hashlib.sha256(code.diff.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{len(code.diff.splitlines())} lines, sha256 {digest[:12]}"


def kernels(a: RunFolder, b: RunFolder) -> Section:
    """The version of the arithmetic; of older runs it is not known."""
    known = [run.record.kernels for run in (a, b)]
    if not all(known):
        return Section("kernels", [], "not recorded by both, so not compared")
    return Section("kernels", _unequal(*({"kernels": str(one)} for one in known)), f"version {known[0]}")


def packages(a: RunFolder, b: RunFolder) -> Section:
    """Versions of the packages that results depend on; one that only one run recorded is a note, not a difference."""
    ours, theirs = (
        {"python": str(run.python), "platform": str(run.platform), **run.versions} for run in (a.record, b.record)
    )
    both = [name for name in ours if name in theirs]
    single = sorted(set(ours) ^ set(theirs))
    notes = [f"in one record only: {', '.join(single)}"] if single else []
    some = ({name: of[name] for name in both} for of in (ours, theirs))
    return Section("packages", _unequal(*some), f"the same {len(both)}", notes)


# --- inputs -----------------------------------------------------------------------------------------------------------


def inputs(a: RunFolder, b: RunFolder) -> Section:
    """The objects that the stacks were made of, by ETag (or size and time of change), and their order."""
    ours, theirs = ({row.href: row for row in run.inputs()} for run in (a, b))
    found = [
        Difference(href, *sides) for href in {**ours, **theirs} if (sides := _sides(ours.get(href), theirs.get(href)))
    ]
    used = [[row.href for row in of.values() if row.used] for of in (ours, theirs)]
    if not found and used[0] != used[1]:
        at, (one, other) = next((at, pair) for at, pair in enumerate(zip(*used, strict=True)) if pair[0] != pair[1])
        found.append(Difference(f"order, from scene {at + 1} on", one, other))
    return Section("inputs", found, f"the same {plural(len(used[0]), 'object')} in the same order")


def _sides(one: RecordedInput | None, other: RecordedInput | None) -> tuple[str, str] | None:
    """The state of an object in both runs, if it differs and either run used it."""
    if not any(row and row.used for row in (one, other)):
        return None
    if one and other and one.used and other.used:
        versions = _versions(one, other)
        return versions if versions[0] != versions[1] else None
    return _standing(one), _standing(other)


def _standing(row: RecordedInput | None) -> str:
    if row is None:
        return "not there"
    return f"used, ETag {row.etag}" if row.used else f"left out: {row.reason}"


def _versions(one: RecordedInput, other: RecordedInput) -> tuple[str, str]:
    if one.etag and other.etag:
        versions = f"ETag {one.etag}", f"ETag {other.etag}"
    else:
        versions = f"{one.size} bytes of {one.modified}", f"{other.size} bytes of {other.modified}"
    if one.beside == other.beside or not (one.beside and other.beside):
        return versions
    return f"{versions[0]}, beside it {one.beside[:12]}", f"{versions[1]}, beside it {other.beside[:12]}"


def values(a: RunFolder, b: RunFolder) -> Section:
    """Every statistic of every stage: the same bits, or how far apart and where."""
    from runner.compare.values import differing_values  # noqa: PLC0415 - numpy, that the other sections spare

    return differing_values(a, b)


SECTIONS: Mapping[str, Callable[[RunFolder, RunFolder], Section]] = {
    one.__name__: one for one in (config, code, kernels, packages, inputs, values)
}
