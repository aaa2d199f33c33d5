"""Tiles of float32, deflated after predictor 3, turned into pixels: the part of the mark that takes long to import."""

import imagecodecs
import numba
import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Pixels = npt.NDArray[np.uint32]

ONE, TWO, FOUR, SIX = np.uint64(8), np.uint64(16), np.uint64(32), np.uint64(48)  # bytes, in bits
EVEN = np.uint64(0x00FF00FF00FF00FF)
LOW, TOP = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)  # bits of each byte
BYTE = np.uint64(0xFF)
SHIFTS = np.uint32(24), np.uint32(16), np.uint32(8)


class Decoder:
    """Buffers for one tile, which `decode` fills again and again."""

    def __init__(self) -> None:
        self._tile = (0, 0)

    def decode(self, data: memoryview, tile: tuple[int, int]) -> Pixels:
        """The bits of the pixels of a tile of (rows, columns), valid until the next call."""
        if tile != self._tile:
            self._make_buffers(tile)
        if len(imagecodecs.deflate_decode(data, out=self._bytes)) != len(self._bytes):
            raise SystemExit("a tile inflates to fewer bytes than it has")
        undo_predictor(self._words, self._line, self._before, self._pixels)
        return self._pixels

    def _make_buffers(self, tile: tuple[int, int]) -> None:
        rows, columns = tile  # columns are a multiple of 16, says TIFF
        self._bytes = np.empty(rows * columns * 4, np.uint8)
        self._words = self._bytes.view(np.uint64).reshape(rows, -1)
        self._line, self._before = np.empty((2, self._words.shape[1]), np.uint64)
        self._pixels = np.empty(tile, np.uint32)
        self._tile = tile


@numba.njit("void(u8[:,::1], u8[::1], u8[::1], u4[:,::1])", nogil=True, cache=True, error_model="numpy")
def undo_predictor(encoded: Words, line: Words, before: Words, pixels: Pixels) -> None:
    """Sum the bytes of each row of `encoded`, and put those of each pixel together; `line` and `before` are scratch.

    Sums within words of 8 bytes do not wait for one another, so that they run in vectors.
    """
    planes, count = line.view(np.uint8), pixels.shape[1]
    first, second, third, fourth = (
        planes[:count],
        planes[count : 2 * count],
        planes[2 * count : 3 * count],
        planes[3 * count :],
    )
    for row in range(pixels.shape[0]):
        for i in range(line.shape[0]):
            even, odd = encoded[row, i] & EVEN, (encoded[row, i] >> ONE) & EVEN
            even += even << TWO
            even += even << FOUR
            odd += odd << TWO
            odd += odd << FOUR
            both = even + odd
            line[i] = ((even + (odd << TWO)) & EVEN) | ((both & EVEN) << ONE)
            before[i] = both >> SIX
        total = np.uint64(0)
        for i in range(line.shape[0]):
            of_word = before[i]
            before[i] = total & BYTE
            total += of_word
        for i in range(line.shape[0]):
            add = before[i]
            add |= add << ONE
            add |= add << TWO
            add |= add << FOUR
            line[i] = ((line[i] & LOW) + (add & LOW)) ^ ((line[i] ^ add) & TOP)  # no carry leaves its byte
        for i in range(count):
            upper = (np.uint32(first[i]) << SHIFTS[0]) | (np.uint32(second[i]) << SHIFTS[1])
            pixels[row, i] = upper | (np.uint32(third[i]) << SHIFTS[2]) | np.uint32(fourth[i])
