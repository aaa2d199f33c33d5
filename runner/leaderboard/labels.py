"""Labels of a sweep's jobs: the settings in which they differ, as short as possible."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from runner.leaderboard.rows import Row

_UNSAID = ("stages.", "gdal.options.")  # starts of keys that labels leave out


def shown_keys(rows: Sequence[Row]) -> list[str]:
    """The keys that were swept, also those in which all jobs are equal so far, since more jobs may follow.

    Keys in which only the baseline differs are left out, except those that distinguish it from another job.
    """
    swept = [row.settings for row in rows if not row.baseline]
    base = next((row.settings for row in rows if row.baseline), None)
    keys = dict.fromkeys(key for settings in swept for key in settings)
    shown = [key for key in keys if _differ(swept, key) or base is None or not _differ([*swept, base], key)]
    jobs = [row.settings for row in rows]
    return _distinguishing(jobs, shown or [key for key in _keys_of(jobs) if _differ(jobs, key)])


def _distinguishing(jobs: Sequence[Mapping[str, str]], shown: list[str]) -> list[str]:
    """The shown keys, and those that are needed so that no two jobs have the same values."""
    alike: dict[tuple[str | None, ...], list[Mapping[str, str]]] = {}
    for job in jobs:
        alike.setdefault(tuple(map(job.get, shown)), []).append(job)
    more = next((key for group in alike.values() for key in _keys_of(group) if _differ(group, key)), None)
    return shown if more is None else _distinguishing(jobs, [*shown, more])


def _keys_of(jobs: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for job in jobs for key in job))


def _differ(jobs: Sequence[Mapping[str, str]], key: str) -> bool:
    return len({job.get(key) for job in jobs}) > 1


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """A short name for each key, if no other has the same: spatial_mean.cluster for
    cluster@stages.spatial_mean.cluster.
    """
    names = {key: _short(key) for key in keys}
    count = Counter(names.values())
    return {key: name if count[name] == 1 else key for key, name in names.items()}


def _short(key: str) -> str:
    package = key.rpartition("@")[2]
    for start in _UNSAID:
        package = package.removeprefix(start)
    return package


def name_rows(rows: Sequence[Row]) -> dict[int, str]:
    """The label of each job: `key=value key=value`, and `(baseline)`."""
    short = short_keys(shown_keys(rows))
    names = {row.job: _name(row, short) for row in rows}
    count = Counter(names.values())
    return {job: name if count[name] == 1 else f"{name} (job {job})" for job, name in names.items()}


def _name(row: Row, short: Mapping[str, str]) -> str:
    settings = " ".join(f"{name}={row.settings[key]}" for key, name in short.items() if key in row.settings)
    label = settings or f"job {row.job}"
    return f"{label} (baseline)" if row.baseline else label
