"""What tells the jobs of a sweep from each other, in few words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from runner.leaderboard.rows import Row

_UNSAID = ("stages.", "gdal.options.")  # what a key loses where it stands in a table


def shown_keys(rows: Sequence[Row]) -> list[str]:
    """The keys that were swept, also those in which the jobs so far are alike, since others are to come.

    Of those in which the baseline alone differs there are as many as tell it from the job that is else the same.
    """
    swept = [row.settings for row in rows if not row.baseline]
    base = next((row.settings for row in rows if row.baseline), None)
    keys = dict.fromkeys(key for settings in swept for key in settings)
    shown = [key for key in keys if _differ(swept, key) or base is None or not _differ([*swept, base], key)]
    every = [row.settings for row in rows]
    return _telling_apart(every, shown or [key for key in _keys_of(every) if _differ(every, key)])


def _telling_apart(every: Sequence[Mapping[str, str]], shown: list[str]) -> list[str]:
    """The keys, and those that are needed besides for no two jobs to have the same values of them."""
    alike: dict[tuple[str | None, ...], list[Mapping[str, str]]] = {}
    for one in every:
        alike.setdefault(tuple(map(one.get, shown)), []).append(one)
    more = next((key for jobs in alike.values() for key in _keys_of(jobs) if _differ(jobs, key)), None)
    return shown if more is None else _telling_apart(every, [*shown, more])


def _keys_of(several: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for one in several for key in one))


def _differ(several: Sequence[Mapping[str, str]], key: str) -> bool:
    return len({one.get(key) for one in several}) > 1


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each key as short as it is still the only one: cluster@stages.spatial_mean.cluster is spatial_mean.cluster."""
    short = {key: _short(key) for key in keys}
    said = list(short.values())
    return {key: of if said.count(of) == 1 else key for key, of in short.items()}


def _short(key: str) -> str:
    package = key.rpartition("@")[2]
    for start in _UNSAID:
        package = package.removeprefix(start)
    return package


def name_rows(rows: Sequence[Row]) -> dict[int, str]:
    """Job -> `key=value key=value`, and whether it is the baseline."""
    short = short_keys(shown_keys(rows))
    names = {row.job: _name(row, short) for row in rows}
    many = Counter(names.values())
    return {job: name if many[name] == 1 else f"{name} (job {job})" for job, name in names.items()}


def _name(row: Row, short: Mapping[str, str]) -> str:
    said = " ".join(f"{name}={row.settings[key]}" for key, name in short.items() if key in row.settings)
    words = said or f"job {row.job}"
    return f"{words} (baseline)" if row.baseline else words
