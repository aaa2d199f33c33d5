"""The nearest known name for one that is wrong."""

import difflib
from collections.abc import Iterable


def nearest(got: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `got`; else the only one that ends with it, as `source.limit` with `limit`."""
    names = sorted(known)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.6)
    return near[0] if near else _only_ending(got, names)


def did_you_mean(got: str, known: Iterable[str], value: str = "") -> str:
    """`; did you mean 'x'` for the nearest known name, with the value that it shall have; or nothing."""
    near = nearest(got, known)
    return f"; did you mean '{near}{value}'" if near else ""


def instead_of(key: str, known: Iterable[str], value: str = "") -> str:
    """`; did you mean 'x'` for a wrong key; if none is near, the keys of the section that it is in."""
    section, _, name = key.rpartition(".")
    names = sorted(known)
    inside = [entry.removeprefix(f"{section}.") for entry in names if section and entry.rpartition(".")[0] == section]
    if not inside:
        return did_you_mean(key, names, value)
    near = nearest(name, inside)
    meant = f"{section}.{near}" if near else _only_ending(name, names)
    return f"; did you mean '{meant}{value}'" if meant else f"; {section} has {', '.join(inside)}"


def _only_ending(got: str, names: Iterable[str]) -> str | None:
    endings = [name for name in names if name.rpartition(".")[2] == got]
    return endings[0] if len(endings) == 1 else None
