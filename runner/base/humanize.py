"""Numbers, sizes, times, names and texts as people read them; what is unknown is a dash."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, TypeGuard

from markupsafe import Markup, escape

UNKNOWN: Final = "\N{EN DASH}"
_EXACT: Final = 1e15  # whole numbers up to here are whole in float64


def _known(number: float | None) -> TypeGuard[float]:
    return number is not None and math.isfinite(number)


def count(number: float | None) -> str:
    """A whole number with thousands separators."""
    return f"{number:,.0f}" if _known(number) else UNKNOWN


def size(bytes_: float | None) -> str:
    """A number of bytes in powers of ten, three digits or so."""
    if not _known(bytes_):
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if abs(bytes_) < 999.95:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.3g} {unit}"
        bytes_ /= 1000
    return f"{bytes_:,.0f} TB" if abs(bytes_) >= 99.95 else f"{bytes_:.3g} TB"


def rate(bytes_per_second: float | None) -> str:
    """17.7 kB/s, 52.5 MB/s."""
    return f"{size(bytes_per_second)}/s" if _known(bytes_per_second) else UNKNOWN


def seconds(duration: float | None) -> str:
    """43 ms, 0.25 s, 13.2 s, 4:12 min, 2:05 h."""
    if not _known(duration):
        return UNKNOWN
    if 0 < abs(duration) < 0.09995:
        return f"{1000 * duration:.3g} ms" if abs(duration) >= 1e-6 else "< 0.001 ms"
    if abs(duration) < 99.95:
        return f"{duration:.3g} s" if abs(duration) < 1 else f"{duration:.{1 if abs(duration) >= 9.995 else 2}f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60:,}:{minutes % 60:02} h"


def value(number: float | None) -> str:
    """A measured value to four digits; whole numbers whole."""
    if not _known(number):
        return UNKNOWN
    if number == 0:
        return "0"
    if abs(number) < 1e-4 or abs(number) >= _EXACT:
        return f"{number:.3e}"
    if number == round(number):
        return f"{number:,.0f}"
    if abs(number) >= 1000:
        return f"{number:,.1f}"
    return f"{number:.4g}"


def values(low: float | None, high: float | None) -> str:
    """A range of values, 0.11 to 0.16; one of them if both are shown alike."""
    ends = value(low), value(high)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def percent(fraction: float | None) -> str:
    """A fraction as a percentage that says 0 and 100 only of none and all."""
    if not _known(fraction):
        return UNKNOWN
    if 0 < fraction < 0.001:
        return "< 0.1 %"
    if 0.999 < fraction < 1:
        return "> 99.9 %"
    return f"{100 * fraction:.1f} %" if fraction % 1 else f"{100 * fraction:.0f} %"


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole, where both are known and that is a number."""
    return part / whole if part is not None and whole else None


def moment(time: float | None, parts: int = 19) -> str:
    """Seconds since 1970 as 2026-11-23 14:05:09 (UTC); `parts` characters of it, 10 for the date."""
    if not _known(time):
        return UNKNOWN
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")[:parts]


def day(time: float | None) -> str:
    """The date, with the time of day unless that is midnight."""
    return moment(time, 10 if time is not None and time % 86400 == 0 else 16)


def plural(number: float | None, one: str, many: str = "") -> str:
    """1 scene, 12 scenes."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int, separator: str = ", ", total: int | None = None) -> str:
    """The first names, and how many more there are: of all of them, or of a `total` of which these are the first."""
    more = (len(names) if total is None else total) - len(names[:most])
    return f"{separator.join(names[:most])}{f' and {more} more' if more else ''}"


def nodata(value: object) -> str:
    """nodata 0, or no nodata."""
    return "no nodata" if value is None else f"nodata {value}"


def _shared_start(names: Sequence[str]) -> str:
    """The characters that all names begin with."""
    pairs = zip(min(names, default=""), max(names, default=""), strict=False)
    return "".join(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def common_start(names: list[str]) -> str:
    """The folders that all names begin with, up to and with a slash."""
    start = _shared_start(names)
    return start[: start.rfind("/") + 1]


def common_parts(names: Sequence[str]) -> tuple[str, str]:
    """The start and the end that all names share, each up to a separator; nothing of a single name."""
    if len(set(names)) < 2:
        return "", ""
    start = re.match(r".*[._/-]|", _shared_start(names), re.DOTALL)
    assert start
    return start.group(), _common_end([name[start.end() :] for name in names])


def _common_end(names: Sequence[str]) -> str:
    end = re.search(r"[._/-].*|$", _shared_start([name[::-1] for name in names])[::-1], re.DOTALL)
    assert end
    return end.group() if len(end.group()) < min(map(len, names)) else ""


def breakable(name: str) -> Markup:
    """Names that may be broken into two lines where they have a dot, a dash or an underscore."""
    return Markup(re.sub(r"(?<=[_=@/])(?=[^\W_])|(?<=[.-])(?=[^\W\d])", "<wbr>", str(escape(name))))  # noqa: S704 - escaped


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters, the middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def one_line(text: object) -> str:
    """A text, or what an error says, with its lines and spaces joined."""
    return " ".join(str(text).split())


def by(sides: Iterable[str]) -> str:
    """1,600 x 1,500, with the sign for times."""
    return " \N{MULTIPLICATION SIGN} ".join(sides)


def sides(shape: Iterable[float]) -> str:
    """The same of numbers."""
    return by(map(count, shape))


def span(start: float, stop: float) -> str:
    """A range of indices by its first and its last."""
    if not (_known(start) and _known(stop)):
        return UNKNOWN
    return f"{count(start)} to {count(stop - 1)}" if stop - 1 > start else count(start)


def relative_path(path: Path) -> str:
    """A path as people would type it: relative to the current folder if it lies below. A last link is not followed."""
    place, here = path.parent.resolve() / path.name, Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else path)
