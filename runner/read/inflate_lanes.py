"""Several zlib streams inflated at once by one thread, each in a lane of its own.

A code can be looked up only when the length of the last one is known, and the processor waits for each look-up. The
streams of several tiles do not depend on one another: it works on one while it waits for another. That gains where
most symbols are literals, as in noisy floats. Matches are decoded in one lane at a time, where libdeflate is better.

Positions are counted in bits of a stream. Every step in which all lanes take part reads and writes only where the
streams and the tiles have room for it, whatever the bytes are; near an end, each symbol is checked.
"""

from collections.abc import Sequence
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled, inlined
from runner.read.inflate_blocks import (
    BROKEN,
    DYNAMIC,
    FIXED,
    STORED,
    checksum,
    copy_stored,
    dynamic_tables,
    first_block,
    fixed_tables,
)
from runner.read.inflate_memory import Memory, Stream, bytes_at, entries_at, numbers_at, word
from runner.read.inflate_symbols import (
    AT_ONCE,
    BLOCK_END,
    LITERALS,
    NEAR_END,
    STORED_MARGIN,
    TILE_MARGIN,
    WORD_BITS,
    six_literals,
    to_block_end,
    to_literals,
)
from runner.read.inflate_tables import DISTANCE_ENTRIES, LITERAL_ENTRIES, Lengths, Table

ByteArray = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

LANES: Final = 4
_ENTRIES: Final = LITERAL_ENTRIES + DISTANCE_ENTRIES
_STORED, _STOP, _TILE, _SIZE = 0, 1, 2, 3  # fields of a lane: addresses and lengths of its stream and its tile,
_POSITION, _FILLED, _LAST, _NUMBER = 4, 5, 6, 7  # how far it is, whether the block is the last one, the stream's number
_FIELDS: Final = 8


class Lanes:
    """Memory for the lanes of one thread."""

    def __init__(self) -> None:
        self._lanes = np.zeros((LANES, _FIELDS), np.int64)
        self._entries = np.zeros((LANES, _ENTRIES), np.uint32)
        self._lengths = np.zeros(320, np.uint8)

    def inflate(self, streams: Sequence[memoryview], tiles: Sequence[ByteArray]) -> list[int | None]:
        """Inflate each zlib stream into its tile, which is contiguous and writable.

        Returns the number of bytes of each; None for a stream that is damaged, has a preset dictionary or does not
        fit, whose tile may hold anything.
        """
        sources = [np.frombuffer(stream, np.uint8) for stream in streams]  # keeps the memory where it is
        table = np.array(
            [(*_memory(source), *_memory(tile)) for source, tile in zip(sources, tiles, strict=True)], np.int64
        ).reshape(-1, 4)
        results = np.empty((len(sources), 2), np.int64)
        inflate_streams(table, results, self._lanes, self._entries, self._lengths)
        return [
            filled if expected != BROKEN and _adler32(tile[:filled]) == expected else None
            for (filled, expected), tile in zip(results.tolist(), tiles, strict=True)
        ]


def _adler32(data: Any) -> int:
    return imagecodecs.deflate_adler32(data)  # 100 GB/s, where zlib has 4


def _memory(array: ByteArray) -> tuple[int, int]:
    if not array.flags.c_contiguous:
        raise ValueError("lanes: a stream or a tile is not contiguous")
    return array.ctypes.data, array.size


@compiled
def inflate_streams(streams: Numbers, results: Numbers, lanes: Numbers, entries: Table, lengths: Lengths) -> None:
    """Inflate streams, (streams, 4) of addresses and lengths, to results: (bytes of the tile, expected checksum)."""
    waiting, active, lane = 0, 0, 0
    while True:
        if active < LANES and waiting < streams.shape[0]:
            lane = active
            for field in range(_FIELDS):
                lanes[lane, field] = streams[waiting, field] if field <= _SIZE else 0
            lanes[lane, _NUMBER] = waiting
            active, waiting = active + 1, waiting + 1
        elif active == 0:
            break
        else:
            lane = _to_end_of_a_block(lanes.ctypes.data, entries.ctypes.data, active, lane)
        if not _to_symbols(numbers_at(lanes[lane].ctypes.data, _FIELDS), entries[lane], lengths):
            number, position = lanes[lane, _NUMBER], lanes[lane, _POSITION]
            stop = lanes[lane, _STOP]
            whole = lanes[lane, _LAST] == 1
            results[number, 0] = lanes[lane, _FILLED]
            results[number, 1] = checksum(bytes_at(lanes[lane, _STORED], stop), stop, position) if whole else BROKEN
            active -= 1
            if lane < active:  # the last lane moves here
                lanes[lane] = lanes[active]
                entries[lane] = entries[active]
            lane = 0


@compiled
def _to_symbols(own: Memory, entries: Table, lengths: Lengths) -> bool:
    """Take a lane from the end of a block to the symbols of the next compressed one; False at the end of its stream."""
    stream, position, filled, last = _stream(own), own[_POSITION], own[_FILLED], own[_LAST]
    if position == 0:
        position = first_block(stream.stored, stream.stop)
    compressed = False
    while not compressed and position != BROKEN and last == 0 and position + 3 <= stream.stop * 8:
        bits = word(stream.stored, stream.stop, position)
        last, kind = bits & 1, bits >> 1 & 3
        position += 3
        literals, distances = entries[:LITERAL_ENTRIES], entries[LITERAL_ENTRIES:]
        if kind == STORED:
            position, filled = copy_stored(stream, position, filled)
        elif kind == FIXED:
            fixed_tables(lengths, literals, distances)
        elif kind == DYNAMIC:
            position = dynamic_tables(stream, position, lengths, literals, distances)
        else:
            position = BROKEN
        compressed = kind != STORED and position != BROKEN
    own[_POSITION], own[_FILLED], own[_LAST] = position, filled, last
    return compressed


@compiled
def _to_end_of_a_block(lanes: int, entries: int, active: int, lane: int) -> int:
    """Decode symbols in all active lanes, first in `lane`, until one reaches the end of its block. Returns that lane.

    `lanes` and `entries` are addresses.
    """
    while True:
        own, table = _lane(lanes, lane), _table(entries, lane)
        position, filled, reason = to_literals(_stream(own), table, own[_POSITION], own[_FILLED])
        rounds = _rounds(own, position, filled)
        if reason == NEAR_END or (reason == LITERALS and rounds <= 0):
            position, filled = to_block_end(_stream(own), table, position, filled)
            reason = BLOCK_END
        own[_POSITION] = position if reason in (LITERALS, BLOCK_END) else BROKEN
        own[_FILLED] = filled
        if reason != LITERALS:
            break
        for other in range(active):
            neighbour = _lane(lanes, other)
            other_rounds = _rounds(neighbour, neighbour[_POSITION], neighbour[_FILLED])
            if other_rounds < rounds:
                rounds, lane = other_rounds, other
        if active == LANES:
            lane = _four_in_turn(lanes, entries, rounds, lane)
        else:
            lane = _in_turn(lanes, entries, rounds, active, lane)
    return lane


@inlined
def _rounds(own: Memory, position: int, filled: int) -> int:
    """The number of times that `six_literals` has room in the stream, of which it takes 8 bytes, and in the tile."""
    in_stream: int = (own[_STOP] - STORED_MARGIN - (position >> 3)) >> 3
    in_tile: int = (own[_SIZE] - TILE_MARGIN - filled) >> 3
    return min(in_stream, in_tile) + 1


@inlined
def _in_turn(lanes: int, entries: int, rounds: int, active: int, lane: int) -> int:
    """Decode literals in the active lanes; returns the lane that has something else, or `lane` after all rounds."""
    for _ in range(rounds):
        for other in range(active):
            own = _lane(lanes, other)
            used = six_literals(_stream(own), _table(entries, other), own[_POSITION], own[_FILLED])
            if used > WORD_BITS:
                return other
            own[_POSITION] += used
            own[_FILLED] += AT_ONCE
    return lane


@inlined
def _four_in_turn(lanes: int, entries: int, rounds: int, lane: int) -> int:
    """Decode as `_in_turn` does, with the state of four lanes in registers."""
    own_0, own_1, own_2, own_3 = _lane(lanes, 0), _lane(lanes, 1), _lane(lanes, 2), _lane(lanes, 3)
    stream_0, stream_1, stream_2, stream_3 = _stream(own_0), _stream(own_1), _stream(own_2), _stream(own_3)
    table_0, table_1, table_2, table_3 = _table(entries, 0), _table(entries, 1), _table(entries, 2), _table(entries, 3)
    position_0, filled_0, position_1, filled_1 = own_0[_POSITION], own_0[_FILLED], own_1[_POSITION], own_1[_FILLED]
    position_2, filled_2, position_3, filled_3 = own_2[_POSITION], own_2[_FILLED], own_3[_POSITION], own_3[_FILLED]
    for _ in range(rounds):
        used = six_literals(stream_0, table_0, position_0, filled_0)
        if used > WORD_BITS:
            lane = 0
            break
        position_0, filled_0 = position_0 + used, filled_0 + AT_ONCE
        used = six_literals(stream_1, table_1, position_1, filled_1)
        if used > WORD_BITS:
            lane = 1
            break
        position_1, filled_1 = position_1 + used, filled_1 + AT_ONCE
        used = six_literals(stream_2, table_2, position_2, filled_2)
        if used > WORD_BITS:
            lane = 2
            break
        position_2, filled_2 = position_2 + used, filled_2 + AT_ONCE
        used = six_literals(stream_3, table_3, position_3, filled_3)
        if used > WORD_BITS:
            lane = 3
            break
        position_3, filled_3 = position_3 + used, filled_3 + AT_ONCE
    own_0[_POSITION], own_0[_FILLED], own_1[_POSITION], own_1[_FILLED] = position_0, filled_0, position_1, filled_1
    own_2[_POSITION], own_2[_FILLED], own_3[_POSITION], own_3[_FILLED] = position_2, filled_2, position_3, filled_3
    return lane


@inlined
def _lane(lanes: int, lane: int) -> Memory:
    return numbers_at(lanes + lane * (8 * _FIELDS), _FIELDS)


@inlined
def _table(entries: int, lane: int) -> Memory:
    return entries_at(entries + lane * (4 * _ENTRIES), _ENTRIES)


@inlined
def _stream(own: Memory) -> Stream:
    return Stream(bytes_at(own[_STORED], own[_STOP]), own[_STOP], bytes_at(own[_TILE], own[_SIZE]), own[_SIZE])
