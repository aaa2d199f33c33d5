"""Whether all jobs of a sweep computed the same bits.

The block engine promises the same bits for all chunks, clusters, readers and orders. So jobs that ask for the same
values (the same objects, mask and source settings) must agree in every statistic that they share; which of them is
right, a disagreement does not tell, so that the bits of most attempts are taken as the reference. `engine=xarray`
promises no bits, since it sums in another order: its values are compared with those of the reference.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from runner.errors import RecordError
from runner.log.folder import RunFolder
from runner.sweep.attempts import PastAttempt

SAME: Final = "same"
DIFFER: Final = "differ"
CLOSE: Final = "close"  # compared by values, `apart` says how far
ALONE: Final = "alone"  # no other attempt promises the same bits
UNKNOWN: Final = "unknown"  # no outputs.json, or results that are gone
_SOURCE: Final = ("band", "nodata", "valid_range", "mask_and_scale")  # settings that change values

Key = tuple[str, str]  # stage and statistic


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is to be said of one attempt's values; `sha256` is over the digests of all of them."""

    verdict: str
    sha256: str = ""
    statistics: tuple[str, ...] = ()  # in which it differs
    apart: float | None = None  # the largest relative difference, if they were compared by values
    reference: int | None = None  # the job that it was held against


@dataclass(frozen=True, slots=True)
class _Values:
    """One attempt's results."""

    attempt: PastAttempt
    run: RunFolder
    exact: bool
    digests: dict[Key, str]
    sha256: str


def agreements(attempts: Iterable[PastAttempt]) -> dict[tuple[int, int], Agreement]:
    """By (job, repeat), of each completed attempt."""
    found: dict[tuple[int, int], Agreement] = {}
    groups: dict[Hashable, list[_Values]] = {}
    for attempt in attempts:
        if attempt.status == "COMPLETED" and attempt.run:
            try:
                values = _values_of(attempt, attempt.run)
                groups.setdefault(_asked(attempt.run), []).append(values)
            except RecordError:
                found[attempt.job, attempt.repeat] = Agreement(UNKNOWN)
    for group in groups.values():
        found |= {(one.attempt.job, one.attempt.repeat): said for one, said in _compared(group)}
    return found


def _values_of(attempt: PastAttempt, run: RunFolder) -> _Values:
    digests = {
        (file.stage, one.name): f"{one.sha256} {one.dtype} {one.shape}" for file in run.outputs() for one in file.values
    }
    whole = hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
    return _Values(attempt, run, run.config.get("engine") != "xarray", digests, whole)


def _asked(run: RunFolder) -> Hashable:
    """What the values depend on, besides stage and statistic: all else must not change them."""
    config = run.config
    source = config.get("source") or {}
    settings = [config.get("mask"), (config.get("output") or {}).get("raster_dtype"), run.facts.get("kernels")]
    settings += [source.get(name) for name in _SOURCE]
    return json.dumps([settings, _objects(run)], default=str)


def _objects(run: RunFolder) -> Sequence[object]:
    """The objects of its stack in their order, by ETag; without inputs.parquet, what its config asks for."""
    try:
        return [(one.href, one.etag or str(one.modified), one.size) for one in run.inputs() if one.used]
    except RecordError:
        source = run.config.get("source") or {}
        return [(name, str(source.get(name))) for name in ("url", "start", "end", "exclude", "limit", "duplicates")]


def _compared(group: list[_Values]) -> Iterator[tuple[_Values, Agreement]]:
    exact = [one for one in group if one.exact]
    right = _reference(exact)
    holder = next((one for one in exact if not _unlike(one, right)), (exact or _baseline_first(group))[0])
    for one in group:
        if len(group) == 1 or (one.exact and len(exact) == 1):
            yield one, Agreement(ALONE, one.sha256)
        elif one.exact:
            unlike = _unlike(one, right)
            yield one, Agreement(DIFFER if unlike else SAME, one.sha256, unlike, reference=holder.attempt.job)
        elif one is holder:
            yield one, Agreement(CLOSE, one.sha256, (), 0.0, holder.attempt.job)
        else:
            yield one, _by_values(one, holder)


def _reference(exact: Sequence[_Values]) -> dict[Key, str]:
    """Of each statistic, the digest that most attempts have; of equally many, the first job's."""
    keys = dict.fromkeys(key for one in exact for key in one.digests)
    return {key: Counter(one.digests[key] for one in exact if key in one.digests).most_common(1)[0][0] for key in keys}


def _unlike(one: _Values, right: dict[Key, str]) -> tuple[str, ...]:
    return tuple(f"{stage}: {name}" for (stage, name), digest in one.digests.items() if right[stage, name] != digest)


def _baseline_first(group: Sequence[_Values]) -> list[_Values]:
    return sorted(group, key=lambda one: not one.attempt.baseline)


def _by_values(one: _Values, holder: _Values) -> Agreement:
    from runner.log.values import largest_relative  # noqa: PLC0415 - GDAL, for the few that need it

    if one.digests == holder.digests:
        return Agreement(CLOSE, one.sha256, (), 0.0, holder.attempt.job)
    try:
        return Agreement(CLOSE, one.sha256, (), largest_relative(holder.run, one.run), holder.attempt.job)
    except RecordError:
        return Agreement(UNKNOWN, one.sha256)
