"""Marks for the cases of a table."""

from collections.abc import Iterable
from typing import Any

import pytest


def few_quick(cases: Iterable[Any], quick: int = 1) -> list[Any]:
    """Cases of which the first are quick, and the others left to the slow tests. A tuple has several arguments."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if number < quick else pytest.mark.slow)
        for number, case in enumerate(cases)
    ]
