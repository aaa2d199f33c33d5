"""Streams inflated in lanes beside zlib: whole ones, damaged ones, and none beyond the memory they were given."""

import os
import random
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from guarded import Guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import ROOT

from runner.read.inflate_lanes import LANES, Lanes

NOISE = np.random.default_rng(1).integers(0, 256, 70_000, np.uint8).tobytes()
SKEWED = np.random.default_rng(2).geometric(0.02, 70_000).astype(np.uint8).tobytes()  # codes of 2 to 15 bits
CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "noise": NOISE,
    "skewed": SKEWED,
    "zeros": bytes(70_000),
    "period 3": b"abc" * 20_000,
    "period 17": bytes(range(17)) * 4_000,
    "far matches": NOISE[:32_000] * 2,
    "floats": np.random.default_rng(3).normal(0, 1, 20_000).astype("f4").tobytes(),
    "ramp": np.arange(30_000, dtype=np.uint16).tobytes(),
}


def packed(content: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    packer = zlib.compressobj(level, strategy=strategy)
    return packer.compress(content) + packer.flush()


def in_lanes(streams: Sequence[bytes], sizes: Sequence[int], *, at_the_end: bool = True) -> list[bytes | None]:
    """The streams inflated at once, each in memory that ends the process if it is left; see `Guarded`."""
    sources = [Guarded(stream, at_the_end=at_the_end) for stream in streams]
    tiles = [Guarded(bytes(size), at_the_end=at_the_end) for size in sizes]
    lengths = Lanes().inflate([memoryview(source.array) for source in sources], [tile.array for tile in tiles])
    return [
        None if length is None else tile.array[:length].tobytes() for length, tile in zip(lengths, tiles, strict=True)
    ]


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_every_kind_of_block_is_inflated(level: int, strategy: int) -> None:
    contents = list(CONTENTS.values())
    assert in_lanes([packed(content, level, strategy) for content in contents], [*map(len, contents)]) == contents


@pytest.mark.parametrize("count", range(LANES + 3))
def test_any_number_of_streams_is_inflated_at_once(count: int) -> None:
    contents = [SKEWED[:size] for size in (0, 70_000, 1, 30_000, 60_000, 500, 70_000)[:count]]
    assert in_lanes([packed(content) for content in contents], [*map(len, contents)]) == contents


def test_a_tile_may_be_longer_than_its_stream() -> None:
    assert in_lanes([packed(NOISE[:99])], [5_000]) == [NOISE[:99]]


STREAM = packed(SKEWED)
DICTIONARY = zlib.compressobj(zdict=b"known")
REFUSED = {
    "a tile too short": (STREAM, 69_999),
    "an end cut off": (STREAM[:-1], 70_000),
    "half a stream": (STREAM[: len(STREAM) // 2], 70_000),
    "another checksum": (STREAM[:-1] + bytes([STREAM[-1] ^ 1]), 70_000),
    "no zlib header": (b"\0\0" + STREAM[2:], 70_000),
    "a preset dictionary": (DICTIONARY.compress(b"known") + DICTIONARY.flush(), 5),
    "a block of the unknown kind": (b"x\x9c\x07" + bytes(20), 20),
    "nothing": (b"", 10),
}


@pytest.mark.parametrize(("stream", "size"), REFUSED.values(), ids=REFUSED)
def test_a_stream_that_is_not_whole_is_refused_and_its_neighbours_are_not(stream: bytes, size: int) -> None:
    streams, sizes = [STREAM, stream, STREAM], [70_000, size, 70_000]
    assert in_lanes(streams, sizes) == [SKEWED, None, SKEWED]


def by_zlib(stream: bytes, size: int) -> bytes | None:
    """The content of a stream if it is whole and fits; bytes may follow it."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(stream, size + 1)
    except zlib.error:
        return None
    return content if unpacker.eof and len(content) <= size else None


def damaged(stream: bytes, generator: random.Random) -> bytes:
    """A stream with some bits flipped, bytes changed, cut out or put in; most often in the headers of its blocks."""
    content = bytearray(stream)
    for _ in range(generator.choice((1, 1, 1, 2, 5, 20))):
        place = min(int(generator.expovariate(1 / 60)), len(content) - 1)
        place = generator.choice((place, generator.randrange(len(content))))
        match generator.randrange(5):
            case 0 | 1:
                content[place] ^= 1 << generator.randrange(8)
            case 2:
                content[place] = generator.randrange(256)
            case 3:
                del content[place : place + generator.randrange(1, 9)]
            case 4:
                content[place:place] = generator.randbytes(generator.randrange(1, 9))
        if len(content) < 2:
            break
    return bytes(content)


def check_damaged(seed: int, count: int) -> None:
    """Inflate damaged streams, five at a time; none may say other bytes than zlib, or leave its memory."""
    generator = random.Random(seed)
    wholes = [
        packed(content[:size], level, strategy)
        for content in CONTENTS.values()
        for size in (300, 9_000)
        for level, strategy in ((0, 0), (1, 0), (9, 0), (6, zlib.Z_FIXED), (6, zlib.Z_HUFFMAN_ONLY))
    ]
    for _ in range(count // 5):
        streams = [damaged(generator.choice(wholes), generator) for _ in range(5)]
        sizes = [generator.choice((300, 9_000, 9_001, 20_000)) for _ in streams]
        inflated = in_lanes(streams, sizes, at_the_end=generator.random() < 0.7)
        assert inflated == [*map(by_zlib, streams, sizes)], (seed, [*map(bytes.hex, streams)])


def test_damaged_streams_are_as_zlib_has_them() -> None:
    check_damaged(0, 500)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3000))
def test_arbitrary_blocks_are_as_zlib_has_them(blocks: bytes, size: int) -> None:
    stream = b"x\x9c" + blocks
    assert in_lanes([stream], [size]) == [by_zlib(stream, size)]


@pytest.mark.slow
def test_two_thousand_damaged_streams_are_as_zlib_has_them() -> None:
    check_damaged(1, 2_000)


@pytest.mark.slow
def test_no_index_is_outside_of_the_memory(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "not slow", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
