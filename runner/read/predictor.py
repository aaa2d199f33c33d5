"""Undo TIFF predictors: turn the bytes of an inflated tile into pixels.

Predictor 2, horizontal differences: TIFF 6.0 section 14, extended by libtiff to samples of 8 to 64 bits. Predictor 3,
floating point: TIFF Technical Note 3 (http://chriscox.org/TIFFTN3d1.pdf): the bytes of a row are sorted into planes,
the most significant first in either byte order, and then differenced over the whole row.
"""

import sys
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Bits = npt.NDArray[Any]  # unsigned integers as wide as a sample


class Scratch(NamedTuple):
    """Memory for one row."""

    words: Words
    line: Bytes  # the same memory
    before: Words


_ONE, _TWO, _FOUR, _SIX = np.uint64(8), np.uint64(16), np.uint64(32), np.uint64(48)  # bytes, in bits
_SHIFTS: Final = np.uint32(24), np.uint32(16), np.uint32(8)  # of four bytes to their places in 32 bits
_BYTE: Final = np.uint64(0xFF)
_EVEN: Final = np.uint64(0x00FF00FF00FF00FF)  # every other byte, in lanes of 16 bits that a sum of 8 bytes cannot fill
_LOW_BITS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_TOP_BITS: Final = np.uint64(0x8080808080808080)


def undo_predictor(encoded: Bytes, out: npt.NDArray[Any], predictor: int, *, big_endian: bool) -> None:
    """Decode one inflated tile into `out`.

    `encoded` holds the tile's bytes, uint8 of any shape, C-contiguous and writable; it may serve as scratch.
    `out` is (rows, columns, samples), native byte order, C-contiguous; for predictors 1 and 2 both may be the same
    memory. `big_endian` tells the file's byte order. Raises ValueError for sizes that do not fit, an unknown predictor,
    or predictor 3 on integers.
    """
    if encoded.nbytes != out.nbytes or out.ndim != 3 or not (encoded.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError(
            f"predictor: {encoded.nbytes} bytes for {out.shape} {out.dtype}, wanted {out.nbytes}, contiguous"
        )
    if predictor not in (1, 2, 3):
        raise ValueError(f"predictor: got {predictor}, TIFF has 1 (none), 2 (differences), 3 (floating point)")
    if predictor == 3 and out.dtype.kind != "f":
        raise ValueError(f"predictor: 3 is for floating point samples, got {out.dtype}")
    rows, columns, samples = out.shape
    row_bytes = columns * samples * out.dtype.itemsize
    pixels = as_bits(out).reshape(rows, columns * samples)
    if undone_by_rows(row_bytes, samples, predictor, out.dtype.itemsize, big_endian=big_endian):
        flat = encoded.reshape(-1)
        words, bits = flat.view(np.uint64).reshape(rows, -1), flat.view(pixels.dtype).reshape(rows, columns)
        undo_rows(words, bits, predictor, row_scratch(row_bytes), pixels)
    elif predictor == 3:
        _undo_planes_slowly(encoded.reshape(rows, row_bytes), samples, pixels)
    else:
        _copy_native(encoded, out, big_endian)
        if predictor == 2:
            _sum_samples(as_bits(out))


def undone_by_rows(row_bytes: int, samples: int, predictor: int, itemsize: int, *, big_endian: bool) -> bool:
    """True if undo_rows takes rows of `row_bytes` bytes, of samples of `itemsize` bytes in that byte order."""
    native = itemsize == 1 or predictor == 3 or big_endian == (sys.byteorder == "big")
    return samples == 1 and row_bytes % 8 == 0 and native


def row_scratch(row_bytes: int) -> Scratch:
    """Scratch for `undo_rows`."""
    words = np.empty(row_bytes // 8, np.uint64)
    return Scratch(words, words.view(np.uint8), np.empty_like(words))


def as_bits(pixels: npt.NDArray[Any]) -> Bits:
    """The same memory as unsigned integers, whose sums wrap around as the format wants."""
    return pixels.view(np.dtype(f"u{pixels.dtype.itemsize}"))


def _copy_native(encoded: Bytes, out: npt.NDArray[Any], big_endian: bool) -> None:
    stored = np.dtype(f"{'>' if big_endian else '<'}u{out.dtype.itemsize}")
    as_bits(out)[...] = encoded.reshape(-1).view(stored).reshape(out.shape)


@compiled
def undo_rows(encoded: Words, bits: Bits, predictor: int, scratch: Scratch, out: Bits) -> None:
    """Decode rows of one sample into `out` (rows, columns); those that `undone_by_rows` accepts.

    `encoded` (rows, bytes / 8) and `bits` (rows, columns) are one memory, which is only read.
    """
    for row in range(out.shape[0]):
        if predictor == 1:
            _copy_row(bits[row], out[row])
        elif predictor == 2 and out.itemsize > 1:
            _sum_row(bits[row], out[row])
        else:
            _sum_bytes(encoded[row], scratch.words, scratch.before)
            if predictor == 2:
                _copy_row(scratch.line, out[row])
            else:
                _join_planes(scratch.line, out[row])


@compiled
def _sum_row(bits: Bits, out: Bits) -> None:
    total = bits[0]
    out[0] = total
    for column in range(1, bits.shape[0]):
        total += bits[column]
        out[column] = total


@compiled
def _copy_row(bits: Bits, out: Bits) -> None:
    for column in range(bits.shape[0]):
        out[column] = bits[column]


@compiled
def _undo_planes_slowly(planes: Bytes, samples: int, out: Bits) -> None:
    """Rows of several interleaved samples, or of a length that is not a multiple of 8 bytes."""
    for row in range(out.shape[0]):
        line = planes[row]
        for i in range(samples, line.shape[0]):
            line[i] += line[i - samples]
        _join_planes(line, out[row])


@compiled
def _sum_bytes(encoded: Words, words: Words, before: Words) -> None:
    """Running sum of the bytes of `encoded`, each modulo 256, to `words`; little-endian. `before` is scratch.

    A running sum is a chain of dependent additions, one byte a cycle. Sums within words of 8 bytes are independent of
    each other, so the compiler runs them in vectors; what remains a chain is one addition a word.
    """
    for i in range(words.shape[0]):
        even = encoded[i] & _EVEN
        odd = (encoded[i] >> _ONE) & _EVEN
        even += even << _TWO
        even += even << _FOUR
        odd += odd << _TWO
        odd += odd << _FOUR
        both = even + odd
        words[i] = ((even + (odd << _TWO)) & _EVEN) | ((both & _EVEN) << _ONE)
        before[i] = both >> _SIX
    total = np.uint64(0)
    for i in range(words.shape[0]):
        word_sum = before[i]
        before[i] = total & _BYTE
        total += word_sum
    for i in range(words.shape[0]):
        add = before[i]
        add |= add << _ONE
        add |= add << _TWO
        add |= add << _FOUR
        # Adds byte by byte: the top bits apart, so that no carry crosses into the next byte.
        words[i] = ((words[i] & _LOW_BITS) + (add & _LOW_BITS)) ^ ((words[i] ^ add) & _TOP_BITS)


@compiled
def _join_planes(planes: Bytes, out: Bits) -> None:
    """Collect each sample's bytes from its planes, four planes at a time; samples have 4 or 8 bytes."""
    count = out.shape[0]
    for start in range(0, planes.shape[0], 4 * count):
        first, second = planes[start : start + count], planes[start + count : start + 2 * count]
        third, fourth = planes[start + 2 * count : start + 3 * count], planes[start + 3 * count : start + 4 * count]
        for i in range(count):
            upper = (np.uint32(first[i]) << _SHIFTS[0]) | (np.uint32(second[i]) << _SHIFTS[1])
            word = upper | (np.uint32(third[i]) << _SHIFTS[2]) | np.uint32(fourth[i])
            out[i] = word if out.itemsize == 4 else (np.uint64(out[i]) << _FOUR) | word


@compiled
def _sum_samples(out: Bits) -> None:
    """Running sum along the columns of (rows, columns, samples), in place."""
    for row in range(out.shape[0]):
        for sample in range(out.shape[2]):
            total = out[row, 0, sample]
            for column in range(1, out.shape[1]):
                total += out[row, column, sample]
                out[row, column, sample] = total
