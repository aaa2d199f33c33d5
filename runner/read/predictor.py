"""Undo TIFF predictors: turn the bytes of an inflated block into pixels.

Predictor 2, horizontal differences: TIFF 6.0 section 14, extended by libtiff to samples of 8 to 64 bits. Predictor 3,
floating point: TIFF Technical Note 3 (http://chriscox.org/TIFFTN3d1.pdf): the bytes of a row are sorted into planes,
the most significant first whatever the file's byte order, and then differenced over the whole row.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.compiled import compiled

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Bits = npt.NDArray[Any]  # unsigned integers as wide as a sample

_ONE, _TWO, _FOUR, _SIX = np.uint64(8), np.uint64(16), np.uint64(32), np.uint64(48)  # bytes, in bits
_BYTE: Final = np.uint64(0xFF)
_EVEN: Final = np.uint64(0x00FF00FF00FF00FF)  # every other byte, in lanes of 16 bits that a sum of 8 bytes cannot fill
_LOW_BITS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_TOP_BITS: Final = np.uint64(0x8080808080808080)


def undo_predictor(encoded: Bytes, out: npt.NDArray[Any], predictor: int, *, big_endian: bool) -> None:
    """Decode one inflated block into `out`.

    `encoded` holds the block's bytes, uint8 of any shape, C-contiguous and writable; it serves as scratch and is
    destroyed. `out` is (rows, columns, samples), native byte order, C-contiguous; for predictors 1 and 2 both may be
    the same memory. `big_endian` tells the file's byte order. Raises ValueError for sizes that do not fit, an unknown
    predictor, or predictor 3 on integers.
    """
    if encoded.nbytes != out.nbytes or out.ndim != 3 or not (encoded.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError(
            f"predictor: {encoded.nbytes} bytes for {out.shape} {out.dtype}, wanted {out.nbytes}, contiguous"
        )
    if predictor == 3:
        _undo_floating_point(encoded, out)
    elif predictor in (1, 2):
        _copy_native(encoded, out, big_endian)
        if predictor == 2:
            _undo_differences(_bits(out))
    else:
        raise ValueError(f"predictor: got {predictor}, TIFF has 1 (none), 2 (differences), 3 (floating point)")


def _bits(out: npt.NDArray[Any]) -> Bits:
    """The same memory as unsigned integers, whose sums wrap around as the format wants."""
    return out.view(np.dtype(f"u{out.dtype.itemsize}"))


def _copy_native(encoded: Bytes, out: npt.NDArray[Any], big_endian: bool) -> None:
    stored = np.dtype(f"{'>' if big_endian else '<'}u{out.dtype.itemsize}")
    _bits(out)[...] = encoded.reshape(-1).view(stored).reshape(out.shape)


def _undo_differences(out: Bits) -> None:
    rows, columns, samples = out.shape
    if out.itemsize == 1 and samples == 1 and columns % 8 == 0:
        words = out.reshape(-1).view(np.uint64).reshape(rows, columns // 8)
        _sum_byte_rows(words, np.empty(columns // 8, np.uint64))
    else:
        _sum_samples(out)


def _undo_floating_point(encoded: Bytes, out: npt.NDArray[Any]) -> None:
    if out.dtype.kind != "f":
        raise ValueError(f"predictor: 3 is for floating point samples, got {out.dtype}")
    rows, columns, samples = out.shape
    row_bytes = columns * samples * out.dtype.itemsize
    planes = encoded.reshape(rows, row_bytes)
    pixels = _bits(out).reshape(rows, columns * samples)
    if samples == 1 and row_bytes % 8 == 0:
        words = encoded.reshape(-1).view(np.uint64).reshape(rows, row_bytes // 8)
        _undo_planes(planes, words, np.empty(row_bytes // 8, np.uint64), pixels)
    else:
        _undo_planes_slowly(planes, samples, pixels)


@compiled
def _undo_planes(planes: Bytes, words: Words, before: Words, out: Bits) -> None:
    """Rows of one sample: `planes` (rows, bytes) and `words` (rows, bytes / 8) are one memory; `before` is scratch."""
    for row in range(out.shape[0]):
        _sum_bytes(words[row], before)
        _join_planes(planes[row], out[row])


@compiled
def _undo_planes_slowly(planes: Bytes, samples: int, out: Bits) -> None:
    """Rows of several interleaved samples, or of a length that is no multiple of 8 bytes."""
    for row in range(out.shape[0]):
        line = planes[row]
        for i in range(samples, line.shape[0]):
            line[i] += line[i - samples]
        _join_planes(line, out[row])


@compiled
def _sum_byte_rows(words: Words, before: Words) -> None:
    """Running sum of the bytes of each row, in place; `before` is scratch as long as a row."""
    for row in range(words.shape[0]):
        _sum_bytes(words[row], before)


@compiled
def _sum_bytes(words: Words, before: Words) -> None:
    """Running sum of the bytes of `words`, each modulo 256, in place; little-endian.

    A running sum is a chain of dependent additions, one byte a cycle. Sums within words of 8 bytes are independent of
    each other, so the compiler runs them in vectors; what remains a chain is one addition a word.
    """
    for i in range(words.shape[0]):
        even = words[i] & _EVEN
        odd = (words[i] >> _ONE) & _EVEN
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
    """Collect each sample's bytes from its planes, two planes at a time; samples have 2, 4 or 8 bytes."""
    count = out.shape[0]
    for start in range(0, planes.shape[0], 2 * count):
        high = planes[start : start + count]
        low = planes[start + count : start + 2 * count]
        for i in range(count):
            out[i] = (out[i] << 16) | (high[i] << 8) | low[i]


@compiled
def _sum_samples(out: Bits) -> None:
    """Running sum along the columns of (rows, columns, samples), in place."""
    for row in range(out.shape[0]):
        for sample in range(out.shape[2]):
            total = out[row, 0, sample]
            for column in range(1, out.shape[1]):
                total += out[row, column, sample]
                out[row, column, sample] = total
