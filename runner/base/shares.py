"""Whole numbers shared out, so that the shares add up."""


def share_of(total: int, number: int, of: int) -> int:
    """The share of one of several, `number` from 0."""
    return total // of + (number < total % of)
