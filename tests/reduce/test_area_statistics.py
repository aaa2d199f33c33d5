"""Quotients of exact sums: the true value rounded once, in two floats or by Python's integers."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.reduce.area_statistics import mean, valid_fraction
from runner.reduce.exact import Total, Wide, integers, widened
from runner.reduce.partial import Partial

CELLS = 40


def drawn(random: np.random.Generator, *, positive: bool) -> Total:
    """Sums in two layers, some of which have limbs too, and a few zeros."""
    size = 10.0 ** random.integers(-8, 9, CELLS)
    high = size * (random.random(CELLS) if positive else random.standard_normal(CELLS))
    if random.random() < 0.5:
        high = np.round(high * 64) / 64  # whose quotients often lie between two floats
    low = high * random.choice([0, 1e-17, 3e-30], CELLS)
    high[:3] = low[:3] = 0
    wide = Wide.zeros(CELLS)
    some = np.flatnonzero(random.random(CELLS) < 0.5)
    wide.add_products(np.abs(high[some]), random.random(some.size), some)
    return Total(np.stack([high, low]), wide if random.random() < 0.7 else None)


def fractions_of(total: Total) -> list[Fraction]:
    wide = widened(total, np.arange(CELLS))
    return [Fraction(int(number)) * Fraction(2) ** (32 * wide.first) for number in integers(wide)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_a_quotient_is_the_true_value_rounded_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    sums, weights = drawn(random, positive=False), drawn(random, positive=True)
    counts = np.ones(CELLS, np.int64)
    partial = Partial(counts, counts, weights=weights, weights_seen=weights, weighted_sums=sums)
    tops, bottoms = fractions_of(sums), fractions_of(weights)
    wanted = [float(top / bottom) if bottom else np.nan for top, bottom in zip(tops, bottoms, strict=True)]
    np.testing.assert_array_equal(mean(partial), wanted)
    np.testing.assert_array_equal(valid_fraction(partial), [1.0 if bottom else np.nan for bottom in bottoms])
