"""Sizes are read as dask reads them, which has the last word on a cluster's memory."""

import pytest
from dask.utils import parse_bytes as as_dask
from hypothesis import given
from hypothesis import strategies as st

from runner.base.sizes import parse_bytes

UNITS = ["", *("B", "kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "PiB", "k", "M", "Gi", "t", "pI", "mib")]


@given(st.integers(0, 10**6) | st.floats(0, 1e9), st.sampled_from(UNITS), st.sampled_from(["", " ", "  "]))
def test_a_number_and_its_unit_are_as_many_bytes_as_for_dask(number: float, unit: str, blanks: str) -> None:
    text = f" {number}{blanks}{unit} "
    assert parse_bytes(text) == as_dask(text)


@pytest.mark.parametrize("text", ["MB", "", "1e6", "1e6 kB", "-3", "5.4 kB", "1_000"])
def test_odd_forms_are_read_as_by_dask(text: str) -> None:
    assert parse_bytes(text) == as_dask(text)


@pytest.mark.parametrize("text", ["5 foos", "x", "much", "1..2 GB", "NaN", "inf", "2 GB/s", "-"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_bytes(text)


def test_more_than_a_float_holds_is_refused() -> None:
    with pytest.raises(OverflowError):
        parse_bytes("1e400")
