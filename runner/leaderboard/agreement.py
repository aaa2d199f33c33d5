"""Whether all jobs of a sweep computed the same bits.

The block engine promises the same bits for all chunks, clusters, readers and orders. So jobs that ask for the same
values (the same scenes, mask and source settings) must agree in every statistic that they share, and must have found
the same scenes; which of them is right, a disagreement does not tell, so that the bits of most attempts are taken as
the reference. `engine=xarray` promises no bits, since it sums in another order: its values must be close to those of
the reference.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from runner.base.humanize import plural
from runner.errors import RecordError
from runner.leaderboard.attempts import PastAttempt
from runner.record.run_folder import RunFolder, read_run

SAME: Final = "same"
DIFFER: Final = "differ"
CLOSE: Final = "close"  # compared by values, `apart` says how far, at most `TOLERANCE`
ALONE: Final = "alone"  # no other attempt promises the same bits
UNKNOWN: Final = "unknown"  # no run.json or outputs.json, or results that are gone
TOLERANCE: Final = 1e-5  # relative: float32 rounds to 6e-8, float64 sums in any order are closer; a fault is larger
SOURCE: Final = (
    "band",
    "nodata",
    "valid_range",
    "mask_and_scale",
    "sidecars",
    "georeference",
)  # settings that change values
SCENES: Final = ("kind", "url", "datetime_regex", "start", "end", "exclude", "limit", "duplicates")

T = TypeVar("T")
Key = tuple[str, str]  # stage and statistic
Objects = tuple[tuple[str, str, int | None], ...]  # href, ETag and size, or when it was modified if it has no ETag


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is to be said of one attempt's values; `sha256` is over the digests of all of them."""

    verdict: str
    sha256: str = ""
    differs_in: tuple[str, ...] = ()  # statistics, and what is to be said of its scenes
    apart: float | None = None  # the largest relative difference, if they were compared by values
    reference: int | None = None  # the job that it was held against
    work: str = ""  # the same of all that computed the same statistics of the same scenes; "" if unknown


@dataclass(frozen=True, slots=True)
class _Values:
    """One attempt's results."""

    attempt: PastAttempt
    run: RunFolder
    exact: bool
    digests: dict[Key, str]
    sha256: str
    objects: Objects | None  # of its stack; None without inputs.parquet


@dataclass(frozen=True, slots=True)
class _Reference:
    """What most attempts of a group have; of equally many, the first job's."""

    digests: dict[Key, str]
    objects: Objects | None


def agreements(attempts: Iterable[PastAttempt]) -> dict[tuple[int, int], Agreement]:
    """By (job, repeat), of each completed attempt."""
    found: dict[tuple[int, int], Agreement] = {}
    values: list[_Values] = []
    for attempt in attempts:
        if attempt.status != "COMPLETED":
            continue
        try:
            values.append(_values_of(attempt, attempt.run or read_run(attempt.path)))
        except RecordError:
            found[attempt.job, attempt.repeat] = Agreement(UNKNOWN)
    for number, group in enumerate(_groups(values)):
        for one, said in _compared(group):
            work = json.dumps([number, sorted(one.digests)])
            found[one.attempt.job, one.attempt.repeat] = replace(said, work=work)
    return found


def _groups(values: Iterable[_Values]) -> Iterable[list[_Values]]:
    """Those that ask for the same belong together, whatever scenes they found; so do those that found the same."""
    first: dict[str, Hashable] = {}
    groups: dict[Hashable, list[_Values]] = {}
    for one in values:
        asked = _asked(one.run, SCENES)
        objects = first.setdefault(asked, asked if one.objects is None else one.objects)
        groups.setdefault((_asked(one.run), objects), []).append(one)
    return groups.values()


def _values_of(attempt: PastAttempt, run: RunFolder) -> _Values:
    digests = {
        (file.stage, one.name): f"{one.sha256} {one.dtype} {one.shape}" for file in run.outputs() for one in file.values
    }
    whole = hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
    return _Values(attempt, run, run.config.get("engine") != "xarray", digests, whole, _objects(run))


def _asked(run: RunFolder, more: Sequence[str] = ()) -> str:
    """What the values depend on, besides stage, statistic and scenes: all else must not change them."""
    config = run.config
    source = config.get("source") or {}
    settings = [config.get("mask"), (config.get("output") or {}).get("raster_dtype"), run.record.kernels]
    stages = (config.get("stages") or {}).items()
    settings += [[name, stage.get("min_count"), stage.get("weights")] for name, stage in sorted(stages)]
    return json.dumps([*settings, *(source.get(name) for name in (*SOURCE, *more))], default=str)


def _objects(run: RunFolder) -> Objects | None:
    """The objects of its stack."""
    try:
        return tuple((one.href, one.etag or str(one.modified), one.size) for one in run.inputs() if one.used)
    except RecordError:
        return None


def _compared(group: list[_Values]) -> Iterator[tuple[_Values, Agreement]]:
    exact = [one for one in group if one.exact]
    right = _reference(exact or group)
    holder = next((one for one in exact if not _unlike(one, right)), (exact or _baseline_first(group))[0])
    shared = Counter(key for one in exact for key in one.digests)
    for one in group:
        if one.exact:
            unlike = _unlike(one, right)
            verdict = DIFFER if unlike else SAME if any(shared[key] > 1 for key in one.digests) else ALONE
            against = None if verdict == ALONE else holder.attempt.job
            yield one, Agreement(verdict, one.sha256, unlike, reference=against)
        elif len(group) == 1:
            yield one, Agreement(ALONE, one.sha256)
        else:
            yield one, _by_values(one, holder)


def _reference(several: Sequence[_Values]) -> _Reference:
    keys = dict.fromkeys(key for one in several for key in one.digests)
    digests = {key: _most(one.digests[key] for one in several if key in one.digests) for key in keys}
    return _Reference(digests, _most(one.objects for one in several))


def _most(several: Iterable[T]) -> T:
    return Counter(several).most_common(1)[0][0]


def _unlike(one: _Values, right: _Reference) -> tuple[str, ...]:
    """In what an exact one is not the reference."""
    statistics = [f"{stage}: {name}" for (stage, name), of in one.digests.items() if right.digests[stage, name] != of]
    return _with_scenes(statistics, one.objects, right.objects)


def _with_scenes(statistics: Sequence[str], ours: Objects | None, theirs: Objects | None) -> tuple[str, ...]:
    """Before the statistics that differ, why: other scenes, which are a difference by themselves, or changed ones."""
    if ours is None or theirs is None or ours == theirs:
        return tuple(statistics)
    if {href for href, *_ in ours} != {href for href, *_ in theirs}:
        counts = f"{plural(len(ours), 'scene')} instead of {len(theirs)}"
        return f"from {counts if len(ours) != len(theirs) else 'other scenes'}", *statistics
    return ("from scenes that have changed", *statistics) if statistics else ()


def _baseline_first(group: Sequence[_Values]) -> list[_Values]:
    return sorted(group, key=lambda one: not one.attempt.baseline)


def _by_values(one: _Values, holder: _Values) -> Agreement:
    from runner.compare.values import relative_differences  # noqa: PLC0415 - GDAL, for the few that need it

    try:
        found = {} if one.digests == holder.digests else relative_differences(holder.run, one.run)
    except RecordError:
        return Agreement(UNKNOWN, one.sha256)
    apart = max(found.values(), default=0.0)
    unlike = _with_scenes([str(key) for key, of in found.items() if of > TOLERANCE], one.objects, holder.objects)
    return Agreement(DIFFER if unlike else CLOSE, one.sha256, unlike, apart, holder.attempt.job)
