"""Axes: from values to places between 0 and 1, and the round values at which they are labelled."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import numpy as np

from runner.base import humanize as text
from runner.report.records import Floats

Number = TypeVar("Number", float, Floats)

_DAY: Final = 86400
_CLOCK_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)  # seconds
_DAY_STEPS: Final = (1, 2, 5, 10, 15)
_FEWEST_MONTHS: Final = 1.9  # of a range that is labelled by months
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)


class Tick(NamedTuple):
    """A labelled place of an axis, from 0 to 1."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of values that an axis shows."""

    low: float
    high: float

    def at(self, value: Number) -> Number:
        """The place of a value, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def scale_of(values: Floats, *, zero: bool = False, margin: float = 0.0) -> Scale:
    """The range of the finite values; from 0 if `zero`, else wider by `margin` of it at either end."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if zero:
        low, high, margin = min(low, 0.0), max(high, 0.0), 0.0
    if low == high:
        low, high = (low, low + 1.0) if zero else (low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5))
    more = margin * (high - low)
    return Scale(low - more, high + more)


def time_scale(times: Floats) -> Scale:
    """The range of times in seconds since 1970, a little wider; a day around a single one."""
    finite = times[np.isfinite(times)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, float(_DAY))
    more = 0.015 * (high - low) or _DAY / 2
    return Scale(low - more, high + more)


def round_step(span: float, most: int) -> float:
    """The least of 1, 2, 5 times a power of ten that gives at most `most` steps."""
    rough = max(span / max(most, 1), 1e-300)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def number_ticks(scale: Scale, most: int, unit: str = "", *, whole: bool = False) -> list[Tick]:
    """Round numbers, with enough digits to differ; `whole` ones of counts."""
    step = round_step(scale.high - scale.low, most)
    if whole:
        step = max(step, 1.0)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    largest = max(abs(scale.low), abs(scale.high))
    powers = largest >= 1e9 or (digits > 4 and largest < 1e-3)  # of ten: else shorter without
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [
        Tick(scale.at(number * step), _label(number * step, digits, step, powers=powers) + unit)
        for number in range(first, last + 1)
    ]


def _label(number: float, digits: int, step: float, *, powers: bool) -> str:
    if not number:
        return "0"
    if powers:
        return f"{number:.{max(0, math.floor(math.log10(abs(number) / step) + 1e-9))}e}"
    return f"{number:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def byte_ticks(scale: Scale, most: int, unit: str = "") -> list[Tick]:
    """Round numbers of bytes, or of bytes a second with `unit` /s."""
    step = round_step(scale.high - scale.low, most)
    steps = range(math.ceil(scale.low / step), math.floor(scale.high / step + 1e-9) + 1)
    return [Tick(scale.at(number * step), text.size(number * step) + unit if number else "0") for number in steps]


def duration_ticks(scale: Scale, most: int) -> list[Tick]:
    """Round times since a beginning, in seconds, minutes or hours, as the longest asks for."""
    unit, name = next(
        (unit, name) for unit, name in ((3600, "h"), (60, "min"), (1, "s")) if scale.high >= 3 * unit or unit == 1
    )
    return number_ticks(Scale(scale.low / unit, scale.high / unit), most, f" {name}")


def time_ticks(scale: Scale, most: int) -> list[Tick]:
    """Round dates or times of day, UTC; the scale is in seconds since 1970."""
    span = scale.high - scale.low
    months = span / (30.44 * _DAY)
    if months > _FEWEST_MONTHS:
        return _month_ticks(scale, next((step for step in _MONTH_STEPS if months / step <= most), _MONTH_STEPS[-1]))
    if span > 2 * _DAY:
        return _day_ticks(scale, next((step for step in _DAY_STEPS if span / _DAY / step <= most), 15))
    step = next((step for step in _CLOCK_STEPS if span / step <= most), _CLOCK_STEPS[-1])
    times = range(math.ceil(scale.low / step) * step, math.floor(scale.high / step) * step + 1, step)
    return [Tick(scale.at(time), _clock(time)) for time in times]


def _clock(time: float) -> str:
    stamp = text.moment(time)
    return stamp[5:10] if time % _DAY == 0 else stamp[11:16] if time % 60 == 0 else stamp[11:]


def _month_ticks(scale: Scale, step: int) -> list[Tick]:
    start = datetime.fromtimestamp(scale.low, UTC)
    month = (start.year * 12 + start.month - 1) // step * step
    ticks = []
    while month // 12 <= 9999 - 1:
        time = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if time.timestamp() > scale.high:
            break
        if time.timestamp() >= scale.low:
            ticks.append(Tick(scale.at(time.timestamp()), f"{time:%Y}" if step % 12 == 0 else f"{time:%Y-%m}"))
        month += step
    return ticks


def _day_ticks(scale: Scale, step: int) -> list[Tick]:
    """The first of each month, and days of round numbers; the last of a month too near the next first is left out."""
    time = datetime.fromtimestamp(scale.low - scale.low % _DAY, UTC)
    ticks = []
    while time.timestamp() <= scale.high:
        if time.timestamp() >= scale.low and _is_round(time.day, step):
            ticks.append(Tick(scale.at(time.timestamp()), f"{time:%Y-%m-%d}"))
        time += timedelta(days=1)
    return ticks


def _is_round(day: int, step: int) -> bool:
    if day + step / 2 > 30:
        return step == 1
    return (day - 1) % step == 0 if step < 5 else day == 1 or day % step == 0
