"""Tables that decode the Huffman codes of a DEFLATE block: RFC 1951 sections 3.2.2 and 3.2.5.

The next bits of the stream are an index: most codes are found at once. A longer code leads to a link, whose subtable
the bits after them index. An entry, of 32 bits:

    bits 0-7    the bits that are used up: of the code, and the extra bits of a length or a distance
    bits 8-12   0 for a literal; the bits of the code alone for a length or a distance; of the next index for a link
    bit 13      LINK
    bit 14      END: the end of the block, or, with bit 12, a code that must not occur
    bits 17-31  the literal; the base of a length or a distance; the place of the subtable

The lower 17 bits of six entries can be added without a carry into the upper ones.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.read.inflate_memory import signed

Table = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.uint8]  # of codes, in bits; 0 for a symbol that does not occur

LITERAL_BITS: Final = 10  # of an index: tables of 4 kB, which stay in the first cache for all lanes
DISTANCE_BITS: Final = 8
CODE_BITS: Final = 7
_LONGEST: Final = 15

NOT_A_LITERAL: Final = 0xFF00
LINK: Final = 1 << 13
END: Final = 1 << 14
INVALID: Final = END | 1 << 12
VALUE: Final = 17  # the bit from which on an entry is a literal, a base or a place
SUM_MASK: Final = (1 << VALUE) - 1

# Every subtable serves two codes or more and is as long as the longest code needs: of 286 and 30 codes.
LITERAL_ENTRIES: Final = (1 << LITERAL_BITS) + 143 * (1 << (_LONGEST - LITERAL_BITS))
DISTANCE_ENTRIES: Final = (1 << DISTANCE_BITS) + 15 * (1 << (_LONGEST - DISTANCE_BITS))

_LENGTH_EXTRA: Final = [0] * 8 + [bits for bits in range(1, 6) for _ in range(4)]
_DISTANCE_EXTRA: Final = [0, 0, *(bits for bits in range(14) for _ in range(2))]


def _ranges(first: int, extra: list[int]) -> list[int]:
    """The meanings of codes for a length or a distance, which follow one another from `first` on."""
    bases = [first + sum(1 << bits for bits in extra[:code]) for code in range(len(extra))]
    return [base << VALUE | bits for base, bits in zip(bases, extra, strict=True)]


# The meaning of each symbol: an entry without the length of its code.
_LITERALS: Final = [literal << VALUE for literal in range(256)]
_LITERAL_MEANINGS: Final = np.array([*_LITERALS, END, *_ranges(3, _LENGTH_EXTRA), 258 << VALUE, INVALID, INVALID])
_DISTANCE_MEANINGS: Final = np.array([*_ranges(1, _DISTANCE_EXTRA), INVALID, INVALID])
_CODE_MEANINGS: Final = np.array(_LITERALS[:19])
_BACKWARDS: Final = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)])


@compiled
def build_literals(lengths: Lengths, table: Table) -> bool:
    """Make the table of literals and lengths, LITERAL_ENTRIES long. False if the lengths make no complete code."""
    return _build(lengths, _LITERAL_MEANINGS, signed(LITERAL_BITS), signed(256), table)


@compiled
def build_distances(lengths: Lengths, table: Table) -> bool:
    """Make the table of distances, DISTANCE_ENTRIES long. A block may have one distance, of half a code, or none."""
    return _build(lengths, _DISTANCE_MEANINGS, signed(DISTANCE_BITS), signed(0), table)


@compiled
def build_codes(lengths: Lengths, table: Table) -> bool:
    """Make the table of the code in which a block's code lengths are written; it has no links."""
    return _build(lengths, _CODE_MEANINGS, signed(CODE_BITS), signed(19), table)


@compiled
def _build(lengths: Lengths, meanings: Numbers, root_bits: int, literals: int, table: Table) -> bool:
    """Make a table; its first `literals` symbols are literals, 0 for distances."""
    counts = np.zeros(_LONGEST + 1, np.int64)
    for symbol in range(lengths.shape[0]):
        counts[lengths[symbol]] += 1
    longest = _LONGEST
    while longest > 0 and counts[longest] == 0:
        longest -= 1
    codes = np.zeros(_LONGEST + 1, np.int64)
    free = _first_codes(counts, codes)
    if free < 0 or (free > 0 and (literals > 0 or longest > 1)):
        return False
    for index in range(1 << root_bits):
        table[index] = INVALID | 1
    place, link_bits = 1 << root_bits, max(longest - root_bits, 0)
    for symbol in range(lengths.shape[0]):
        length = signed(lengths[symbol])
        if length == 0:
            continue
        code = _reversed(codes[length], length)
        codes[length] += 1
        start, bits, index_bits = 0, length, root_bits
        if length > root_bits:
            root = code & ((1 << root_bits) - 1)
            if table[root] & LINK == 0:
                table[root] = place << VALUE | LINK | link_bits << 8 | root_bits
                place += 1 << link_bits
            start, bits, index_bits = signed(table[root] >> VALUE), length - root_bits, link_bits
            code >>= root_bits
        entry = _entry(meanings[symbol], bits, symbol < literals)
        for index in range(code, 1 << index_bits, 1 << bits):
            table[start + index] = entry
    return True


@compiled
def _first_codes(counts: Numbers, codes: Numbers) -> int:
    """Set the first code of each length (section 3.2.2). Returns the number of codes that are left over."""
    code, free = 0, 1
    for length in range(1, _LONGEST + 1):
        codes[length] = code
        code = (code + counts[length]) << 1
        free = 2 * free - counts[length]
        if free < 0:
            break
    return free


@compiled
def _entry(meaning: int, bits: int, literal: bool) -> int:
    return meaning | bits if literal or meaning & END else meaning + bits | bits << 8


@compiled
def _reversed(code: int, length: int) -> int:
    """The bits of a code from last to first: a code is packed from its highest bit on (section 3.1.1)."""
    return signed((_BACKWARDS[code & 0xFF] << 8 | _BACKWARDS[code >> 8]) >> (16 - length))
