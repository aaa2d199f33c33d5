"""The way in which tiles are inflated is the faster one of a race, and the bytes are the same."""

import pickle
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from runner.read import inflation
from runner.read.inflation import InflateCounts, Inflation, Packed
from runner.settings import Inflate

SIZE = 2**20
NOISE = np.random.default_rng(4).normal(128, 40, SIZE).astype(np.uint8).tobytes()
STEPS = np.random.default_rng(5).normal(0, 60, SIZE // 2).astype("i2").tobytes()  # differences of 16 bits
STREAM = zlib.compress(NOISE, 1)


class Clock:
    """Seconds of computing, which pass only where a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.alone = 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(inflation.time, "thread_time", lambda: made.seconds)
    return made


@pytest.fixture(autouse=True)
def loaded() -> Iterator[None]:
    """Kernels of lanes, loaded in this process, and only for this test."""
    inflation._loader.cache_clear()
    inflation._loader().wait()
    yield
    inflation._loader.cache_clear()


def tiles(clock: Clock, seconds_alone: float, stream: bytes = STREAM, count: int = 4) -> list[Packed]:
    """Tiles of SIZE bytes, each of which takes so many seconds alone; in lanes they take one second each."""

    def packed() -> Packed:
        tile = np.zeros(SIZE, np.uint8)

        def alone() -> int:
            clock.alone += 1
            clock.seconds += seconds_alone
            tile[:] = np.frombuffer(zlib.decompress(stream), np.uint8)
            return SIZE

        return Packed(memoryview(stream), tile, alone, deflated=True)

    return [packed() for _ in range(count)]


def inflated_alone(way: Inflation, clock: Clock, turn: list[Packed]) -> int:
    """Inflate a turn, and look at its bytes. Returns how many of its tiles were inflated alone."""
    before = clock.alone
    assert way.inflate(turn, InflateCounts()) == [SIZE] * len(turn)
    assert all(packed.tile.tobytes() == zlib.decompress(packed.data) for packed in turn)
    return clock.alone - before


@pytest.mark.parametrize(("way", "expected"), [(Inflate.lanes, 0), (Inflate.libdeflate, 4)])
def test_a_way_that_is_set_is_taken(way: Inflate, expected: int, clock: Clock) -> None:
    assert inflated_alone(Inflation(way), clock, tiles(clock, 1)) == expected


@pytest.mark.parametrize(("seconds_alone", "expected"), [(0.0, 4), (2.0, 0)])
def test_the_faster_way_is_taken_after_a_race(
    seconds_alone: float, expected: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflation, "_RACE_BYTES", 6 * SIZE)
    way, lanes = Inflation(), inflation._loader().lanes()

    def slow_lanes(*turn: object) -> list[int | None]:
        clock.seconds += 4
        return type(lanes).inflate(lanes, *turn)  # type: ignore[arg-type]

    monkeypatch.setattr(lanes, "inflate", slow_lanes, raising=False)
    turns = [inflated_alone(way, clock, tiles(clock, seconds_alone)) for _ in range(8)]
    assert turns == [4, 0, 4, 0, 4, *[expected] * 3]


@pytest.mark.parametrize(
    ("stream", "count"),
    [(STREAM, 2), (zlib.compress(bytes(SIZE)), 4)],
    ids=["fewer than three tiles", "tiles of a few bytes"],
)
def test_tiles_on_which_lanes_lose_are_inflated_alone(stream: bytes, count: int, clock: Clock) -> None:
    assert inflated_alone(Inflation(Inflate.lanes), clock, tiles(clock, 1, stream, count)) == count


def test_there_is_no_race_on_tiles_that_repeat_themselves(clock: Clock) -> None:
    way, stream = Inflation(), zlib.compress(STEPS, 1)
    assert [inflated_alone(way, clock, tiles(clock, 9, stream)) for _ in range(6)] == [4] * 6


def test_a_tile_that_lanes_refuse_is_inflated_alone(clock: Clock) -> None:
    turn = tiles(clock, 1)
    turn[2] = turn[2]._replace(data=memoryview(STREAM[:-4] + bytes(4)))
    assert Inflation(Inflate.lanes).inflate(turn, InflateCounts()) == [SIZE] * 4
    assert clock.alone == 1


def test_nothing_is_loaded_before_it_pays(clock: Clock) -> None:
    inflation._loader.cache_clear()
    assert inflated_alone(Inflation(), clock, tiles(clock, 1)) == 4
    assert not inflation._loader().is_ready


@pytest.mark.parametrize(("total", "begins"), [(9 * SIZE, False), (99 * SIZE, True)])
def test_lanes_are_loaded_only_where_much_remains(
    total: int, begins: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    inflation._loader.cache_clear()
    monkeypatch.setattr(inflation, "_PATIENCE_BYTES", 6 * SIZE)
    monkeypatch.setattr(inflation, "_is_on_disk", lambda: True)
    monkeypatch.setattr(inflation, "_use_once", lambda: None)
    way = Inflation(Inflate.auto, total)
    for _ in range(3):
        inflated_alone(way, clock, tiles(clock, 1))
    assert (inflation._loader()._thread is not None) == begins


def test_a_copy_in_another_process_has_the_same_setting(clock: Clock) -> None:
    copy = pickle.loads(pickle.dumps(Inflation(Inflate.libdeflate)))
    assert inflated_alone(copy, clock, tiles(clock, 1)) == 4
