"""A look at a zlib stream that tells, without inflating it, whether most of its symbols are literals.

A symbol with a code of n bits makes up about 2**-n of all symbols: that is what a Huffman code is.
"""

from collections.abc import Iterator
from typing import Final

_LONGEST_CODE: Final = 10  # of a literal that lanes decode in turn: inflate_tables.LITERAL_BITS
_HEADER_BYTES: Final = 400  # the longest header of a block is shorter
_ORDER: Final = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_DYNAMIC: Final = 2


class _Bits:
    def __init__(self, data: memoryview) -> None:
        self._bits = int.from_bytes(data[2 : 2 + _HEADER_BYTES], "little")  # after the zlib header

    def take(self, count: int) -> int:
        """The next bits as a number."""
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value


def literal_share(stream: memoryview) -> float:
    """The share of literals with short codes among the symbols of the first block: RFC 1951 section 3.2.7.

    0 for a block without codes of its own, and for a header that cannot be read.
    """
    bits = _Bits(stream)
    bits.take(1)
    if bits.take(2) != _DYNAMIC:
        return 0.0
    literals, _, codes = bits.take(5) + 257, bits.take(5), bits.take(4) + 4
    lengths = [0] * len(_ORDER)
    for symbol in _ORDER[:codes]:
        lengths[symbol] = bits.take(3)
    read: list[int] = []
    for length, times in _lengths(bits, _code(lengths)):
        read += [read[-1] if length is None and read else length or 0] * times
        if len(read) >= literals:
            return sum(2.0**-length for length in read[:256] if 0 < length <= _LONGEST_CODE)
    return 0.0


def _code(lengths: list[int]) -> dict[tuple[int, int], int]:
    """The symbol of each code, (its length, its bits): section 3.2.2."""
    symbols, code = {}, 0
    for length in range(1, 8):
        for symbol, own in enumerate(lengths):
            if own == length:
                symbols[length, code] = symbol
                code += 1
        code <<= 1
    return symbols


def _lengths(bits: _Bits, symbols: dict[tuple[int, int], int]) -> Iterator[tuple[int | None, int]]:
    """Lengths of codes, each with the times it is repeated; None repeats the last one. Ends where there is no code."""
    while True:
        length, code = 1, bits.take(1)
        while (length, code) not in symbols:
            if length == 7:
                return
            length, code = length + 1, code << 1 | bits.take(1)
        symbol = symbols[length, code]
        if symbol < 16:
            yield symbol, 1
        elif symbol == 16:
            yield None, 3 + bits.take(2)
        else:
            yield 0, 3 + bits.take(3) if symbol == 17 else 11 + bits.take(7)
