"""The agreement of a sweep's jobs: all must compute the same bits.

The block engine gives the same bits for all chunks, clusters, readers and orders. So jobs that ask for the same values
(the same scenes, mask and source settings) must agree in every statistic that they share, and must find the same
scenes. A disagreement does not show which job is right, so the bits of most attempts are the reference. `engine=xarray`
sums in another order, which changes the last bits: its values must be close to those of the reference.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from runner.base.humanize import plural
from runner.base.tree import flat
from runner.errors import RecordError
from runner.leaderboard.attempts import PastAttempt
from runner.record.run_folder import RunFolder, read_run
from runner.record.value_settings import chooses_scenes, value_settings

SAME: Final = "same"
DIFFER: Final = "differ"
CLOSE: Final = "close"  # compared by values, which are `apart` by at most `TOLERANCE`
ALONE: Final = "alone"  # no other attempt must have the same bits
UNKNOWN: Final = "unknown"  # run.json, outputs.json or the results are missing
TOLERANCE: Final = 1e-5  # relative: float32 rounds to 6e-8, float64 sums in any order are closer; a fault is larger

T = TypeVar("T")
Key = tuple[str, str]  # stage and statistic, perhaps of a group
Objects = tuple[tuple[str, str, int | None], ...]  # href, ETag (or else the time of the last change), size


@dataclass(frozen=True, slots=True)
class Agreement:
    """The verdict on an attempt's values; `sha256` is over the digests of all of them."""

    verdict: str
    sha256: str = ""
    differs_in: tuple[str, ...] = ()  # statistics, and the difference of its scenes
    apart: float | None = None  # the largest relative difference, if they were compared by values
    reference: int | None = None  # the job that it was compared with
    work: str = ""  # equal for all attempts with the same statistics of the same scenes; "" if unknown


@dataclass(frozen=True, slots=True)
class _Values:
    """The results of an attempt."""

    attempt: PastAttempt
    run: RunFolder
    exact: bool
    digests: dict[Key, str]
    sha256: str
    objects: Objects | None  # of its stack; None without inputs.parquet


@dataclass(frozen=True, slots=True)
class _Reference:
    """The results of most attempts of a group; those of the first job if there are equally many."""

    digests: dict[Key, str]
    objects: Objects | None


def agreements(attempts: Iterable[PastAttempt]) -> dict[tuple[int, int], Agreement]:
    """The agreement of each completed attempt, by (job, repeat)."""
    verdicts: dict[tuple[int, int], Agreement] = {}
    values: list[_Values] = []
    for attempt in attempts:
        if not attempt.completed:
            continue
        try:
            values.append(_values_of(attempt, attempt.run or read_run(attempt.path)))
        except RecordError:
            verdicts[attempt.job, attempt.record.repeat] = Agreement(UNKNOWN)
    for number, group in enumerate(_groups(values)):
        for own, agreement in _compared(group):
            work = json.dumps([number, sorted(own.digests)])
            verdicts[own.attempt.job, own.attempt.record.repeat] = replace(agreement, work=work)
    return verdicts


def _groups(values: Iterable[_Values]) -> Iterable[list[_Values]]:
    """Groups of attempts that ask for the same values, or read the same scenes by other settings."""
    first: dict[str, Hashable] = {}
    groups: dict[Hashable, list[_Values]] = {}
    for own in values:
        question = _question(own.run, with_scenes=True)
        objects = first.setdefault(question, question if own.objects is None else own.objects)
        groups.setdefault((_question(own.run), objects), []).append(own)
    return groups.values()


def _values_of(attempt: PastAttempt, run: RunFolder) -> _Values:
    digests = {
        (file.stage, values.layer): f"{values.sha256} {values.dtype} {values.shape}"
        for file in run.outputs()
        for values in file.values
    }
    whole = hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
    return _Values(attempt, run, run.config.get("engine") != "xarray", digests, whole, _objects(run))


def _question(run: RunFolder, *, with_scenes: bool = False) -> str:
    """The settings that the values depend on, besides the statistics; with those that choose scenes, if asked for."""
    settings = {key: value for key, value in value_settings(run.config).items() if not key.endswith(".statistics")}
    scenes = {key: value for key, value in flat(run.config).items() if with_scenes and chooses_scenes(key)}
    return json.dumps([run.record.kernels, settings | scenes], default=str, sort_keys=True)


def _objects(run: RunFolder) -> Objects | None:
    """The objects of its stack."""
    try:
        return tuple(version for row in run.inputs() if row.used for version in row.versions)
    except RecordError:
        return None


def _compared(group: list[_Values]) -> Iterator[tuple[_Values, Agreement]]:
    exact = [own for own in group if own.exact]
    reference = _reference(exact or group)
    model = next((own for own in exact if not _differences(own, reference)), (exact or _baseline_first(group))[0])
    shared = Counter(key for own in exact for key in own.digests)
    for own in group:
        if own.exact:
            differences = _differences(own, reference)
            verdict = DIFFER if differences else SAME if any(shared[key] > 1 for key in own.digests) else ALONE
            job = None if verdict == ALONE else model.attempt.job
            yield own, Agreement(verdict, own.sha256, differences, reference=job)
        elif len(group) == 1:
            yield own, Agreement(ALONE, own.sha256)
        else:
            yield own, _by_values(own, model)


def _reference(group: Sequence[_Values]) -> _Reference:
    keys = dict.fromkeys(key for own in group for key in own.digests)
    digests = {key: _most_common(own.digests[key] for own in group if key in own.digests) for key in keys}
    return _Reference(digests, _most_common(own.objects for own in group))


def _most_common(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _differences(own: _Values, reference: _Reference) -> tuple[str, ...]:
    """The statistics in which exact values differ from the reference, and the difference of the scenes."""
    statistics = [f"{key[0]}: {key[1]}" for key, digest in own.digests.items() if reference.digests[key] != digest]
    return _with_scenes(statistics, own.objects, reference.objects)


def _with_scenes(statistics: Sequence[str], ours: Objects | None, theirs: Objects | None) -> tuple[str, ...]:
    """The statistics that differ, after the reason: other scenes, which are a difference alone, or changed ones."""
    if ours is None or theirs is None or ours == theirs:
        return tuple(statistics)
    if {href for href, *_ in ours} != {href for href, *_ in theirs}:
        counts = f"{plural(len(ours), 'scene')} instead of {len(theirs)}"
        return f"from {counts if len(ours) != len(theirs) else 'other scenes'}", *statistics
    return ("from scenes that have changed", *statistics) if statistics else ()


def _baseline_first(group: Sequence[_Values]) -> list[_Values]:
    return sorted(group, key=lambda own: not own.attempt.record.baseline)


def _by_values(own: _Values, model: _Values) -> Agreement:
    from runner.compare.values import relative_differences  # noqa: PLC0415 - GDAL, for the few that need it

    try:
        apart = {} if own.digests == model.digests else relative_differences(model.run, own.run)
    except RecordError:
        return Agreement(UNKNOWN, own.sha256)
    statistics = [str(key) for key, difference in apart.items() if difference > TOLERANCE]
    differences = _with_scenes(statistics, own.objects, model.objects)
    verdict = DIFFER if differences else CLOSE
    return Agreement(verdict, own.sha256, differences, max(apart.values(), default=0.0), model.attempt.job)
