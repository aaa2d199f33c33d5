"""Headers of a zlib stream and of its DEFLATE blocks, and stored blocks: RFC 1950 section 2.2, RFC 1951 section 3.2.

A position is counted in bits from the start of the stream. It is BROKEN where the stream is not valid.
"""

from typing import Final

import numpy as np

from runner.host.compiled import compiled, inlined
from runner.read.inflate_memory import Memory, Stream, signed, word
from runner.read.inflate_tables import CODE_BITS, VALUE, Lengths, Table, build_codes, build_distances, build_literals

BROKEN: Final = -1
STORED, FIXED, DYNAMIC = 0, 1, 2  # kinds of blocks
_ORDER: Final = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])  # section 3.2.7
_REPEATED, _ZEROS = 16, 17  # symbols that stand for several lengths, as does 18


@inlined
def first_block(stored: Memory, stop: int) -> int:
    """The position after the zlib header: DEFLATE, a window of at most 32 kB, no preset dictionary."""
    if stop < 8:
        return BROKEN
    method, flags = signed(stored[0]), signed(stored[1])
    fits = method & 15 == 8 and method >> 4 <= 7 and (method << 8 | flags) % 31 == 0 and flags & 32 == 0
    return 16 if fits else BROKEN


@inlined
def checksum(stored: Memory, stop: int, position: int) -> int:
    """The Adler-32 after the last block, its highest byte first; BROKEN if it is cut off."""
    start = (position + 7) >> 3
    if position == BROKEN or start + 4 > stop:
        return BROKEN
    value = 0
    for byte in range(start, start + 4):
        value = value << 8 | signed(stored[byte])
    return value


@inlined
def copy_stored(stream: Stream, position: int, filled: int) -> tuple[int, int]:
    """Copy a stored block (section 3.2.4). Returns the position after it, and how much of the tile is filled."""
    stored, stop, tile, size = stream
    start = (position + 7) >> 3
    if start + 4 > stop:
        return BROKEN, filled
    bits = word(stored, stop, start * 8)
    length = bits & 0xFFFF
    start += 4
    if length != ~(bits >> 16) & 0xFFFF or start + length > stop or filled + length > size:
        return BROKEN, filled
    for index in range(length):
        tile[filled + index] = stored[start + index]
    return (start + length) * 8, filled + length


@compiled
def fixed_tables(lengths: Lengths, literals: Table, distances: Table) -> None:
    """Make the tables of section 3.2.6. `lengths` is scratch."""
    for symbol in range(288):
        lengths[symbol] = 8 if symbol < 144 else 9 if symbol < 256 else 7 if symbol < 280 else 8
    build_literals(lengths[:288], literals)
    for symbol in range(32):
        lengths[symbol] = 5
    build_distances(lengths[:32], distances)


@compiled
def dynamic_tables(stream: Stream, position: int, lengths: Lengths, literals: Table, distances: Table) -> int:
    """Make the tables of a block from its header (section 3.2.7). Returns the position of its first symbol.

    `lengths` is scratch of 320 bytes.
    """
    stored, stop = stream.stored, stream.stop
    bits = word(stored, stop, position)
    literal_count, distance_count, code_count = (bits & 31) + 257, (bits >> 5 & 31) + 1, (bits >> 10 & 15) + 4
    if literal_count > 286 or distance_count > 30:
        return BROKEN
    bits = word(stored, stop, position + 14)  # at most 19 lengths of 3 bits, which are 57
    for symbol in range(19):
        lengths[symbol] = 0
    for index in range(code_count):
        lengths[_ORDER[index]] = bits >> (3 * index) & 7
    if not build_codes(lengths[:19], literals):
        return BROKEN
    total = literal_count + distance_count
    position = _read_lengths(stream, position + 14 + 3 * code_count, literals, lengths[:total])
    if position == BROKEN or lengths[256] == 0:  # without a code for the end of the block
        return BROKEN
    distances_fit = build_distances(lengths[literal_count:total], distances)
    return position if distances_fit and build_literals(lengths[:literal_count], literals) else BROKEN


@compiled
def _read_lengths(stream: Stream, position: int, codes: Table, lengths: Lengths) -> int:
    """Read all lengths of codes. Returns the position after them."""
    stored, stop = stream.stored, stream.stop
    done = 0
    while done < lengths.shape[0]:
        if position > stop * 8:
            return BROKEN
        bits = word(stored, stop, position)
        entry = signed(codes[bits & ((1 << CODE_BITS) - 1)])
        symbol = entry >> VALUE
        position += entry & 0xFF
        bits >>= entry & 0xFF
        length, repeats, extra = symbol, 1, 0
        if symbol == _REPEATED:
            if done == 0:
                return BROKEN
            length, repeats, extra = signed(lengths[done - 1]), 3 + (bits & 3), 2
        elif symbol == _ZEROS:
            length, repeats, extra = 0, 3 + (bits & 7), 3
        elif symbol > _ZEROS:
            length, repeats, extra = 0, 11 + (bits & 127), 7
        if done + repeats > lengths.shape[0]:
            return BROKEN
        for index in range(done, done + repeats):
            lengths[index] = length
        done, position = done + repeats, position + extra
    return position
