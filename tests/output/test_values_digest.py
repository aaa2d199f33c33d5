"""Digests say whether decoded values are the same bits, and nothing of the machine or the file they came from."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runner.output.digest import ValueDigest, file_sha256, unequal_bits

VALUES = np.array([[0.5, -1.25, np.nan], [np.inf, 0.0, 1e-300]])


def values_sha256(values: np.ndarray) -> str:
    digest = ValueDigest("mean", values.dtype, values.shape)
    digest.add(values)
    return digest.facts().sha256


def test_the_digest_is_of_little_endian_bytes_in_c_order() -> None:
    nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
    content = struct.pack("<6d", 0.5, -1.25, nan, np.inf, 0.0, 1e-300)
    assert values_sha256(VALUES) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "same",
    [
        VALUES.astype(">f8"),
        np.asfortranarray(VALUES),
        np.repeat(VALUES, 2, axis=1)[:, ::2],
        VALUES * 1.0,
    ],
    ids=["big endian", "column order", "with strides", "computed"],
)
def test_how_values_lie_in_memory_does_not_matter(same: np.ndarray) -> None:
    assert values_sha256(same) == values_sha256(VALUES)


@pytest.mark.parametrize(
    "other",
    [VALUES.astype("f4"), VALUES.T, np.where(VALUES == 0, -0.0, VALUES), np.nextafter(VALUES, 2)],
    ids=["dtype", "transposed", "-0.0", "next value"],
)
def test_other_values_have_another_digest(other: np.ndarray) -> None:
    assert values_sha256(other) != values_sha256(VALUES)


def test_all_nans_are_one_whatever_their_sign_and_payload() -> None:
    odd = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123], "<u8").view("<f8")
    assert values_sha256(odd) == values_sha256(np.full(3, np.nan))
    assert not unequal_bits(odd, np.full(3, np.nan)).any()


def test_large_arrays_are_digested_in_slabs_of_any_size() -> None:
    large = np.arange(3_000_000, dtype=np.float64).reshape(6, -1)
    digest = ValueDigest("mean", large.dtype, large.shape)
    for slab in (large[:1], large[1:4], large[4:]):
        digest.add(slab)
    assert digest.facts().sha256 == values_sha256(large) == hashlib.sha256(large.tobytes()).hexdigest()
    assert values_sha256(np.zeros((0, 3))) == hashlib.sha256().hexdigest()


@given(st.data())
def test_arrays_are_unequal_where_a_value_was_changed(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["f4", "f8", "i4", "i8"]))
    one = data.draw(hnp.arrays(dtype, (3, 4)))
    row, column = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 3)))
    other = one.copy()
    other[row, column] = 1 if one[row, column] != 1 else 2
    assert list(zip(*np.nonzero(unequal_bits(one, other)), strict=True)) == [(row, column)]
    assert (values_sha256(one) == values_sha256(other)) is False


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content := bytes(range(256)) * 10_000)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
