"""What tells the jobs of a sweep from each other, in few words."""

from collections.abc import Iterable, Mapping, Sequence

from runner.log.listing import tell_apart
from runner.sweep.rows import Row

_UNSAID = ("stages.", "gdal.options.")  # what a key loses where it stands in a table


def shown_keys(rows: Sequence[Row]) -> list[str]:
    """The keys that are needed to tell the rows apart: where several part them alike, one of them.

    Those of the baseline alone are not, since it is marked as what it is.
    """
    swept = [row.settings for row in rows if row.settings and not row.baseline]
    return tell_apart(swept if len(swept) > 1 else [row.settings for row in rows if row.settings])


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
