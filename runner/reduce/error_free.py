"""Compiled steps of arithmetic without rounding error: sums and products of two floats, and sums of products.

Sources: Knuth, The Art of Computer Programming 2, 4.2.2; Dekker, Numerische Mathematik 18 (1971), 224-242.
"""

from typing import Final

from runner.host.compiled import compiled

Layers = tuple[float, float, float, float]  # three that add up, and a bound of what fell off the third

_SPLIT: Final = 134217729.0  # 2**27 + 1


@compiled
def collect(layers: Layers, left: float, right: float) -> Layers:
    """Add a product to three layers; the fourth bounds what falls off the third."""
    upper, middle, lower, lost = layers
    product, product_error = exact_product(left, right)
    upper, error = exact_sum(upper, product)
    middle, error = exact_sum(middle, error)
    lower, error = exact_sum(lower, error)
    lost += abs(error)
    upper, error = exact_sum(upper, product_error)
    middle, error = exact_sum(middle, error)
    lower, error = exact_sum(lower, error)
    return upper, middle, lower, lost + abs(error)


@compiled
def collected(layers: Layers) -> tuple[float, float, float]:
    """The layers as the sum of two floats, and a bound of what they miss."""
    upper, middle, lower, lost = layers
    high, rest = exact_sum(upper, middle)
    rest, missed = exact_sum(rest, lower)
    high, low = exact_sum(high, rest)
    return high, low, lost + abs(missed)


@compiled
def exact_sum(left: float, right: float) -> tuple[float, float]:
    """The rounded sum and its exact error (Knuth)."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


@compiled
def exact_product(left: float, right: float) -> tuple[float, float]:
    """The rounded product and its exact error (Dekker)."""
    product = left * right
    left_high, left_low = halves(left)
    right_high, right_low = halves(right)
    error = ((left_high * right_high - product) + left_high * right_low + left_low * right_high) + left_low * right_low
    return product, error


@compiled
def halves(number: float) -> tuple[float, float]:
    """A float as the sum of two with 26 bits each (Veltkamp)."""
    scaled = _SPLIT * number
    high = scaled - (scaled - number)
    return high, number - high
