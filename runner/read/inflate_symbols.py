"""The symbols of a compressed DEFLATE block: literals, matches, and its end, RFC 1951 section 3.2.3."""

from typing import Final

from runner.host.compiled import inlined
from runner.read.inflate_blocks import BROKEN
from runner.read.inflate_memory import Memory, Stream, copy_16, prefetch, signed, whole_word, word
from runner.read.inflate_tables import (
    DISTANCE_BITS,
    END,
    INVALID,
    LINK,
    LITERAL_BITS,
    LITERAL_ENTRIES,
    NOT_A_LITERAL,
    SUM_MASK,
    VALUE,
)

AT_ONCE: Final = 6  # literals from one word; longer codes may not fit, and take the slow path
WORD_BITS: Final = 57
TILE_MARGIN: Final = 288  # bytes of the tile that a symbol may fill, with what a copy by 16 bytes overruns
STORED_MARGIN: Final = 16  # bytes of the stream that a symbol may need: two words
_IN_A_ROW: Final = 3  # literals, after which the next ones are taken to be literals too

LITERALS, BLOCK_END, NEAR_END, REFUSED = 0, 1, 2, 3  # reasons to stop
_LITERAL_MASK: Final = (1 << LITERAL_BITS) - 1
_DISTANCE_MASK: Final = (1 << DISTANCE_BITS) - 1
_AHEAD: Final = 512  # bytes: the processor itself does not look beyond a page of memory


@inlined
def six_literals(stream: Stream, entries: Memory, position: int, filled: int) -> int:
    """Decode AT_ONCE literals. Returns the bits used up, more than WORD_BITS if not all were literals.

    The stream must have 8 bytes from `position` on, and the tile TILE_MARGIN bytes from `filled` on.
    """
    bits = whole_word(stream.stored, position)
    prefetch(stream.stored, (position >> 3) + _AHEAD)
    total = 0
    for index in range(AT_ONCE):
        entry = signed(entries[bits & _LITERAL_MASK])
        stream.tile[filled + index] = entry >> VALUE
        bits >>= entry & 63
        total += entry
    return total & SUM_MASK


@inlined
def to_literals(stream: Stream, entries: Memory, position: int, filled: int) -> tuple[int, int, int]:
    """Decode symbol by symbol until some literals follow one another, the block ends, or an end is near.

    Returns the position, how much of the tile is filled, and the reason to stop.
    """
    stored, stop, tile, size = stream
    last_word, last_start = stop - STORED_MARGIN, size - TILE_MARGIN
    while True:
        if position >> 3 > last_word or filled > last_start:
            reason = NEAR_END
            break
        bits = whole_word(stored, position)
        entry = signed(entries[bits & _LITERAL_MASK])
        row, total = 0, 0
        while entry & NOT_A_LITERAL == 0 and row < _IN_A_ROW:
            tile[filled] = entry >> VALUE
            bits >>= entry & 63
            total += entry
            filled += 1
            row += 1
            entry = signed(entries[bits & _LITERAL_MASK])
        position += total & 0xFF
        if row == _IN_A_ROW:
            reason = LITERALS
            break
        entry, bits, position = _linked(entries, 0, LITERAL_BITS, (entry, bits, position))
        position += entry & 0xFF
        if entry & NOT_A_LITERAL == 0:
            tile[filled] = entry >> VALUE
            filled += 1
            continue
        if entry & END:
            reason = REFUSED if entry & INVALID == INVALID else BLOCK_END
            break
        length = _base_and_extra(entry, bits)
        entry, bits, position = _distance(entries, whole_word(stored, position), position)
        distance = _base_and_extra(entry, bits)
        if entry & END or distance > filled:
            reason = REFUSED
            break
        _repeat_by_16(tile, filled, distance, length)
        filled += length
    return position, filled, reason


@inlined
def to_block_end(stream: Stream, entries: Memory, position: int, filled: int) -> tuple[int, int]:
    """Decode to the end of the block, and look at the ends of stream and tile in each step.

    Returns the position, BROKEN if the block is not valid, and how much of the tile is filled.
    """
    stored, stop, tile, size = stream
    while True:
        bits = word(stored, stop, position)
        entry = signed(entries[bits & _LITERAL_MASK])
        entry, bits, position = _linked(entries, 0, LITERAL_BITS, (entry, bits, position))
        position += entry & 0xFF
        length, distance, fits = 1, 0, True
        if entry & END:
            if entry & INVALID == INVALID or position > stop * 8:
                position = BROKEN
            break
        if entry & NOT_A_LITERAL:
            length = _base_and_extra(entry, bits)
            entry, bits, position = _distance(entries, word(stored, stop, position), position)
            distance = _base_and_extra(entry, bits)
            fits = entry & END == 0
        if not fits or position > stop * 8 or distance > filled or length > size - filled:
            position = BROKEN
            break
        if distance == 0:
            tile[filled] = entry >> VALUE
        else:
            _repeat(tile, filled, distance, length)
        filled += length
    return position, filled


@inlined
def _distance(entries: Memory, bits: int, position: int) -> tuple[int, int, int]:
    """The entry of a distance, the bits from its code on (or what a link left of it), and the position after it."""
    entry = signed(entries[LITERAL_ENTRIES + (bits & _DISTANCE_MASK)])
    entry, bits, position = _linked(entries, LITERAL_ENTRIES, DISTANCE_BITS, (entry, bits, position))
    return entry, bits, position + (entry & 0xFF)


@inlined
def _linked(entries: Memory, table: int, index_bits: int, code: tuple[int, int, int]) -> tuple[int, int, int]:
    """An entry, the bits from its code on, and their position; those that a link leads to, if it is one."""
    entry, bits, position = code
    if entry & LINK:
        bits >>= index_bits
        position += index_bits
        entry = signed(entries[table + (entry >> VALUE) + (bits & ((1 << (entry >> 8 & 31)) - 1))])
    return entry, bits, position


@inlined
def _base_and_extra(entry: int, bits: int) -> int:
    """A length or a distance (section 3.2.5): its base, and the extra bits that follow its code."""
    return (entry >> VALUE) + ((bits & ((1 << (entry & 63)) - 1)) >> (entry >> 8 & 31))


@inlined
def _repeat(tile: Memory, filled: int, distance: int, length: int) -> None:
    """Copy bytes from `distance` back, byte by byte: they may be bytes that the copy itself writes."""
    for index in range(filled, filled + length):
        tile[index] = tile[index - distance]


@inlined
def _repeat_by_16(tile: Memory, filled: int, distance: int, length: int) -> None:
    """Copy bytes from `distance` back; up to 15 bytes more than `length` are written."""
    if distance >= 16:
        copy_16(tile, filled, filled - distance)
        for index in range(filled + 16, filled + length, 16):
            copy_16(tile, index, index - distance)
    elif distance == 1:
        value = tile[filled - 1]
        for index in range(filled, filled + length):
            tile[index] = value
    else:
        _repeat(tile, filled, distance, length)
