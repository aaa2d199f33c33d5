"""Chooses how DEFLATE tiles are inflated: one at a time by libdeflate, or several at once in lanes.

Lanes are up to twice as fast on noise and up to twice as slow on repetitive tiles, and give the same bytes. Neither the
type of the pixels nor the predictor tells which. The code lengths of a few tiles can rule lanes out. Otherwise a pass
times both on its own tiles and threads, and keeps the faster one.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.base.shares import share_of
from runner.read.inflate_sample import literal_share
from runner.settings import Inflate

if TYPE_CHECKING:
    from runner.read.inflate_lanes import Lanes

ByteArray = npt.NDArray[np.uint8]

_LEAST_STORED: Final = 0.6  # of a tile's bytes: a tile stored in less repeats itself too often
_LEAST_TILES: Final = 3  # at once: with fewer, lanes lose
_SAMPLES: Final = 8  # tiles whose codes are looked at
_LEAST_LITERALS: Final = 0.95  # of their symbols: with fewer, lanes lose
_RACE_BYTES: Final = 32 * 2**20  # inflated in each way before one is chosen
_PATIENCE_BYTES: Final = 128 * 2**20  # inflated before lanes are loaded from disk, which takes 0.3 s
_KINDS: Final = 64  # of tiles, remembered in a process
_LONG_PATIENCE_BYTES: Final = 512 * 2**20  # inflated before lanes are compiled, which takes some seconds

log = logging.getLogger(__name__)


@dataclass(slots=True)
class InflateCounts:
    """Bytes inflated in each way, and the seconds that threads computed for them; of tiles that lanes could take.

    `missing_tiles` have no pixel that counts and were not inflated.
    """

    lanes_bytes: int = 0
    lanes_seconds: float = 0.0
    libdeflate_bytes: int = 0
    libdeflate_seconds: float = 0.0
    missing_tiles: int = 0

    def count(self, size: int, seconds: float, *, by_lanes: bool) -> None:
        """Add `size` bytes that were inflated in one way."""
        if by_lanes:
            self.lanes_bytes += size
            self.lanes_seconds += seconds
        else:
            self.libdeflate_bytes += size
            self.libdeflate_seconds += seconds

    def add(self, other: "InflateCounts") -> None:
        """Add another's counts to these."""
        self.count(other.lanes_bytes, other.lanes_seconds, by_lanes=True)
        self.count(other.libdeflate_bytes, other.libdeflate_seconds, by_lanes=False)
        self.missing_tiles += other.missing_tiles

    def share(self, number: int, of: int) -> "InflateCounts":
        """The share of one of several that inflated together, `number` from 0; all shares add up to these counts."""
        return InflateCounts(
            share_of(self.lanes_bytes, number, of),
            self.lanes_seconds / of,
            share_of(self.libdeflate_bytes, number, of),
            self.libdeflate_seconds / of,
            share_of(self.missing_tiles, number, of),
        )

    @property
    def lanes_are_faster(self) -> bool:
        """True if lanes took less time for a byte."""
        return self.lanes_seconds * self.libdeflate_bytes < self.libdeflate_seconds * self.lanes_bytes


class Packed(NamedTuple):
    """A packed tile and the memory for it. `alone` unpacks it with the decoder that accepts every tile.

    It returns the number of bytes.
    """

    data: memoryview
    tile: ByteArray
    alone: Callable[[], int]
    deflated: bool  # a zlib stream

    @property
    def suits_lanes(self) -> bool:
        """True if it is a zlib stream in which little is repeated."""
        return self.deflated and len(self.data) >= _LEAST_STORED * self.tile.size


class _Experience:
    """What the tiles of one kind have shown so far."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.samples: list[float] = []
        self.before = 0  # bytes inflated before lanes were at hand
        self.race = InflateCounts()
        self.chosen: bool | None = None  # lanes; None until the race is over


@lru_cache(_KINDS)
def _experience(kind: Hashable) -> _Experience:
    """That of all passes of this process over tiles of this kind: a pass over a small stack is too short for a race."""
    del kind
    return _Experience()


class Inflation:
    """The way in which the threads of this process inflate the tiles of a pass.

    Pickled to another process, it starts over. `total` has the bytes of all these tiles. What passes over tiles of the
    same `kind` have found out before holds for them too.
    """

    def __init__(self, way: Inflate = Inflate.auto, total: float = math.inf, kind: Hashable = None) -> None:
        self._way, self._total, self._kind = way, total, kind
        self._known = _Experience() if kind is None else _experience(kind)
        self._earlier = self._known.before
        self._fixed = None if way is Inflate.auto else way is Inflate.lanes

    def __reduce__(self) -> tuple[type["Inflation"], tuple[Inflate, float, Hashable]]:
        return Inflation, (self._way, self._total, self._kind)

    @property
    def _chosen(self) -> bool | None:
        """True for lanes, False for libdeflate; None until the race is over."""
        return self._known.chosen if self._fixed is None else self._fixed

    def inflate(self, tiles: Sequence[Packed], counts: InflateCounts) -> list[int]:
        """Inflate tiles. Returns the number of bytes of each. Raises what `alone` raises."""
        lengths: list[int | None] = [None] * len(tiles)
        suited = [index for index, tile in enumerate(tiles) if tile.suits_lanes]
        if len(suited) >= _LEAST_TILES:
            together = [tiles[index] for index in suited]
            for index, length in zip(suited, self._together(together, counts), strict=True):
                lengths[index] = length
        # A tile that lanes refuse is inflated again: libdeflate decides whether it is damaged, and how.
        return [tile.alone() if length is None else length for tile, length in zip(tiles, lengths, strict=True)]

    def _together(self, tiles: Sequence[Packed], counts: InflateCounts) -> Sequence[int | None]:
        size = sum(tile.tile.size for tile in tiles)
        if self._chosen is None and len(self._known.samples) < _SAMPLES:
            self._look_at(tiles)
        lanes = self._lanes(size)
        started = time.thread_time()
        if lanes:
            lengths: Sequence[int | None] = lanes.inflate([tile.data for tile in tiles], [tile.tile for tile in tiles])
        else:
            lengths = [tile.alone() for tile in tiles]
        seconds = time.thread_time() - started
        counts.count(size, seconds, by_lanes=lanes is not None)
        if self._chosen is None and len(self._known.samples) >= _SAMPLES and _loader().is_ready:
            self._judge(size, seconds, by_lanes=lanes is not None)
        return lengths

    def _look_at(self, tiles: Sequence[Packed]) -> None:
        shares = [literal_share(tile.data) for tile in tiles]
        known = self._known
        with known.lock:
            known.samples += shares
            if len(known.samples) >= _SAMPLES and median(known.samples) < _LEAST_LITERALS:
                known.chosen = False

    def _lanes(self, size: int) -> "Lanes | None":
        """This thread's lanes, if the next `size` bytes are theirs."""
        loader = _loader()
        if self._chosen is None:
            if len(self._known.samples) < _SAMPLES:
                return None
            if not loader.is_ready:
                with self._known.lock:
                    self._known.before += size
                loader.load_between(self._known.before, self._remaining)
                return None
            by_lanes = self._known.race.lanes_bytes <= self._known.race.libdeflate_bytes
        else:
            by_lanes = self._chosen
        return loader.wait() if by_lanes else None

    @property
    def _remaining(self) -> float:
        """Bytes still to be inflated: of this pass, or as many as earlier passes had, since more may follow."""
        return max(self._total - (self._known.before - self._earlier), self._earlier)

    def _judge(self, size: int, seconds: float, *, by_lanes: bool) -> None:
        known = self._known
        with known.lock:
            race = known.race
            race.count(size, seconds, by_lanes=by_lanes)
            if min(race.lanes_bytes, race.libdeflate_bytes) >= _RACE_BYTES:
                known.chosen = race.lanes_are_faster
                log.debug("lanes are %s: %s", "faster" if known.chosen else "slower", race)


class _Loader:
    """Loads the kernels of lanes in a thread, once in a process, so that nobody waits for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._own = threading.local()
        self._patience: int | None = None
        self.is_ready = False

    def load_between(self, inflated: int, remaining: float) -> None:
        """Begin to load if so many bytes have been inflated, and as many remain, that it pays."""
        if min(inflated, remaining) >= _PATIENCE_BYTES and self._thread is None:
            with self._lock:
                if self._patience is None:
                    self._patience = _PATIENCE_BYTES if _is_on_disk() else _LONG_PATIENCE_BYTES
            if min(inflated, remaining) >= self._patience:
                self._start()

    def wait(self) -> "Lanes":
        """This thread's lanes, loaded now if they are not. Raises PlanError where kernels cannot be compiled."""
        if not self.is_ready:
            _use_once()
            self.is_ready = True
        return self.lanes()

    def lanes(self) -> "Lanes":
        """This thread's lanes."""
        if not hasattr(self._own, "lanes"):
            from runner.read.inflate_lanes import Lanes  # noqa: PLC0415 - a plan does not need numba

            self._own.lanes = Lanes()
        lanes: Lanes = self._own.lanes
        return lanes

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # Not a daemon: a process must not end while it compiles.
                self._thread = threading.Thread(target=self._load, name="lanes")
                self._thread.start()

    def _load(self) -> None:
        try:
            _use_once()
            self.is_ready = True
        except Exception:  # libdeflate goes on, with the same bytes
            log.warning("tiles cannot be inflated in lanes", exc_info=True)


@cache
def _loader() -> _Loader:
    return _Loader()


def _is_on_disk() -> bool:
    from runner.host.compiled import is_on_disk  # noqa: PLC0415 - a plan does not need numba
    from runner.read.inflate_lanes import inflate_streams  # noqa: PLC0415 - as above

    return is_on_disk(inflate_streams)


def _use_once() -> None:
    from runner.read.inflate_lanes import Lanes  # noqa: PLC0415 - a plan does not need numba

    stream = memoryview(b"x\x9cc\x00\x00\x00\x01\x00\x01")  # of one byte
    if Lanes().inflate([stream], [np.empty(1, np.uint8)]) != [1]:
        raise AssertionError("lanes do not inflate a stream of one byte")
