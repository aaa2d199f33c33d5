"""The share of literals in a stream, read from the header of its first block."""

import zlib

import numpy as np
import pytest

from runner.read.inflate_sample import literal_share

GENERATOR = np.random.default_rng(6)
NOISE = GENERATOR.normal(128, 40, 60_000).astype(np.uint8).tobytes()


def test_noise_is_nearly_all_literals() -> None:
    assert literal_share(memoryview(zlib.compress(NOISE))) > 0.95


def test_codes_alone_leave_nothing_but_literals_and_the_end() -> None:
    packer = zlib.compressobj(6, strategy=zlib.Z_HUFFMAN_ONLY)
    assert literal_share(memoryview(packer.compress(NOISE[:8000]) + packer.flush())) > 0.95


def test_what_repeats_itself_has_fewer() -> None:
    text = b"".join(NOISE[start : start + 20] for start in GENERATOR.integers(0, 300, 3000))
    assert 0 < literal_share(memoryview(zlib.compress(text))) < 0.8


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"x\x9c",
        zlib.compress(NOISE, 0),
        zlib.compressobj(strategy=zlib.Z_FIXED).compress(NOISE),
        b"x\x9c\x05" + bytes(40),
        b"x\x9c" + b"\xff" * 500,
        zlib.compress(NOISE)[:40],
    ],
    ids=["nothing", "a header", "stored", "fixed codes", "no codes", "ones", "cut off"],
)
def test_a_block_without_codes_of_its_own_has_no_share(stream: bytes) -> None:
    assert literal_share(memoryview(stream)) in (0.0, pytest.approx(1, abs=0.1))
