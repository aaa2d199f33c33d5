"""Means of levels: of decibels, that of the powers they stand for, since the mean of logarithms is a lower one."""

from typing import Final

import numpy as np

from runner.reduce.decibels import decibels
from runner.report.records import Floats

DECIBELS: Final = "dB"


def as_power(values: Floats, units: str) -> Floats:
    """The values to be averaged."""
    return np.asarray(10 ** (values / 10)) if units == DECIBELS else values


def as_level(means: Floats, units: str) -> Floats:
    """The averages in the units of the values."""
    return decibels(means) if units == DECIBELS else means


def mean_level(values: Floats, units: str) -> float:
    """The mean of some levels."""
    return float(as_level(np.asarray(as_power(values, units).mean()), units))
