"""What tells the jobs of a sweep from each other, in few words."""

from collections.abc import Iterable, Mapping, Sequence

from runner.sweep.rows import Row

_UNSAID = ("stages.", "gdal.options.")  # what a key loses where it stands in a table


def shown_keys(rows: Sequence[Row]) -> list[str]:
    """The keys that were swept, also those in which the jobs so far are alike, since others are to come.

    Those in which the baseline alone differs are not, since it is marked as what it is.
    """
    swept = [row.settings for row in rows if not row.baseline]
    base = next((row.settings for row in rows if row.baseline), None)
    keys = dict.fromkeys(key for settings in swept for key in settings)
    shown = [key for key in keys if _differ(swept, key) or base is None or not _differ([*swept, base], key)]
    every = [row.settings for row in rows]
    return shown or [key for key in dict.fromkeys(key for one in every for key in one) if _differ(every, key)]


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
    return {row.job: _name(row, short) for row in rows}


def _name(row: Row, short: Mapping[str, str]) -> str:
    said = " ".join(f"{name}={row.settings[key]}" for key, name in short.items() if key in row.settings)
    words = said or f"job {row.job}"
    return f"{words} (baseline)" if row.baseline else words
