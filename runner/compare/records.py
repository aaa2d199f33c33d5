"""Differences of two runs in config, code, kernels, packages, inputs and values, as lines for people."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner.base.humanize import plural
from runner.base.overrides import as_text
from runner.base.tree import flat
from runner.compare.sections import ABSENT, Difference, Section
from runner.record.input_rows import RecordedInput
from runner.record.recorded_outlines import recorded_outlines
from runner.record.run import Code
from runner.record.run_folder import RunFolder

_OWN = frozenset({"output.dir"})  # each run has its own


def compare(a: RunFolder, b: RunFolder, only: Iterable[str] | None = None) -> list[Section]:
    """The sections of `only`, or all. Raises RecordError for results that cannot be read."""
    return [SECTIONS[name](a, b) for name in (only or SECTIONS)]


def config(a: RunFolder, b: RunFolder) -> Section:
    """Dotted settings, but for the folders the runs were written to."""
    ours, theirs = (_texts(flat(run.config)) for run in (a, b))
    return Section("config", _unequal(ours, theirs))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: as_text(value) for key, value in values.items() if key not in _OWN}


def _unequal(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[Difference]:
    keys = dict.fromkeys([*ours, *theirs])
    pairs = ((key, ours.get(key, ABSENT), theirs.get(key, ABSENT)) for key in keys)
    return [Difference(key, a, b) for key, a, b in pairs if a != b]


def code(a: RunFolder, b: RunFolder) -> Section:
    """The commit, and what was changed since it."""
    ours, theirs = a.record.code, b.record.code
    differences = _unequal(*({"commit": state.commit if state else "installed"} for state in (ours, theirs)))
    differences += _unequal(*({"uncommitted changes": _changes(state)} for state in (ours, theirs)))
    changed = [state for state in (ours, theirs) if state and state.dirty]
    unknown = len(changed) == 2 and not all(state.is_whole for state in changed)
    notes = ["both had uncommitted changes that were not recorded whole, so that these are not compared"]
    return Section("code", differences, f"commit {ours.commit}" if ours else "installed", notes if unknown else [])


def _changes(code: Code | None) -> str:
    if code is None or not code.dirty:
        return "none"
    if not code.is_whole or code.diff is None:
        return "not recorded whole"
    digest = hashlib.sha256(code.diff.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{len(code.diff.splitlines())} lines, sha256 {digest[:12]}"


def kernels(a: RunFolder, b: RunFolder) -> Section:
    """The version of the arithmetic; of older runs it is not known."""
    versions = [run.record.kernels for run in (a, b)]
    if not all(versions):
        return Section("kernels", [], "not recorded by both, so not compared")
    return Section("kernels", _unequal(*({"kernels": str(version)} for version in versions)), f"version {versions[0]}")


def packages(a: RunFolder, b: RunFolder) -> Section:
    """Versions of the packages that results depend on; one that only one run recorded is a note, not a difference."""
    ours, theirs = (
        {"python": str(run.python), "platform": str(run.platform), **run.versions} for run in (a.record, b.record)
    )
    common = [name for name in ours if name in theirs]
    single = sorted(set(ours) ^ set(theirs))
    notes = [f"in one record only: {', '.join(single)}"] if single else []
    sides = ({name: versions[name] for name in common} for versions in (ours, theirs))
    return Section("packages", _unequal(*sides), f"the same {len(common)}", notes)


# --- inputs -----------------------------------------------------------------------------------------------------------


def inputs(a: RunFolder, b: RunFolder) -> Section:
    """The objects that the stacks were made of, by ETag (or size and time of change), and their order."""
    ours, theirs = ({row.href: row for row in run.inputs()} for run in (a, b))
    differences = [
        Difference(href, *sides) for href in {**ours, **theirs} if (sides := _sides(ours.get(href), theirs.get(href)))
    ]
    differences += _polygons(a, b)
    used = [[row.href for row in rows.values() if row.used] for rows in (ours, theirs)]
    if not differences and used[0] != used[1]:
        pairs = enumerate(zip(*used, strict=True), start=1)
        number, pair = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
        differences.append(Difference(f"order, from scene {number} on", *pair))
    return Section("inputs", differences, f"the same {plural(len(used[0]), 'object')} in the same order")


def _polygons(a: RunFolder, b: RunFolder) -> list[Difference]:
    """The polygons of source.area and of zones.file, by their digests, where both runs recorded them."""
    pairs = recorded_outlines(b).changed_since(recorded_outlines(a))
    return [
        Difference(setting, *(f"polygons of SHA-256 {digest[:16]}" for digest in of_both))
        for setting, *of_both in pairs
    ]


def _sides(a: RecordedInput | None, b: RecordedInput | None) -> tuple[str, str] | None:
    """The state of an object in both runs, if it differs and either run used it."""
    if not any(row and row.used for row in (a, b)):
        return None
    if a and b and a.used and b.used:
        versions = _versions(a, b)
        return versions if versions[0] != versions[1] else None
    return _standing(a), _standing(b)


def _standing(row: RecordedInput | None) -> str:
    if row is None:
        return "not there"
    return f"used, ETag {row.etag}" if row.used else f"left out: {row.reason}"


def _versions(a: RecordedInput, b: RecordedInput) -> tuple[str, str]:
    if a.etag and b.etag:
        versions = f"ETag {a.etag}", f"ETag {b.etag}"
    else:
        versions = f"{a.size} bytes of {a.modified}", f"{b.size} bytes of {b.modified}"
    if a.beside != b.beside and a.beside and b.beside:
        versions = f"{versions[0]}, beside it {a.beside[:12]}", f"{versions[1]}, beside it {b.beside[:12]}"
    if a.versions[1:] != b.versions[1:]:
        versions = f"{versions[0]}, {_mask(a)}", f"{versions[1]}, {_mask(b)}"
    return versions


def _mask(row: RecordedInput) -> str:
    return f"mask {row.mask_href} of {row.versions[1][1]}" if row.mask_href else "no mask"


def values(a: RunFolder, b: RunFolder) -> Section:
    """Every statistic of every stage: the same bits, or how far apart and where."""
    from runner.compare.values import differing_values  # noqa: PLC0415 - numpy, that the other sections spare

    return differing_values(a, b)


SECTIONS: Mapping[str, Callable[[RunFolder, RunFolder], Section]] = {
    section.__name__: section for section in (config, code, kernels, packages, inputs, values)
}
