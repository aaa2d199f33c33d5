"""The scenes of a pass as they go to workers: in packets, each opened where a task needs a scene of it.

Opening all of 50,000 scenes takes a worker four seconds.
"""

import pickle
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, overload

from runner.model import Scene

_PACKET: Final = 256  # scenes
_FASTEST: Final = 1  # level of zlib: headers of scenes are much alike


class PackedScenes(Sequence[Scene]):
    """Scenes in packets. Picklable; what is opened stays open."""

    def __init__(self, packets: tuple[bytes, ...], count: int) -> None:
        self._packets, self._count = packets, count
        self._opened = lru_cache(maxsize=None)(self._open)

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> "PackedScenes":
        """Pack scenes."""
        if isinstance(scenes, cls):
            return scenes
        parts = (tuple(scenes[start : start + _PACKET]) for start in range(0, len(scenes), _PACKET))
        return cls(tuple(zlib.compress(pickle.dumps(part, protocol=5), _FASTEST) for part in parts), len(scenes))

    def __reduce__(self) -> tuple[type["PackedScenes"], tuple[tuple[bytes, ...], int]]:
        """The packets travel, and not what is opened."""
        return type(self), (self._packets, self._count)

    def __len__(self) -> int:
        """The number of scenes."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Scene: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Scene, ...]: ...

    def __getitem__(self, index: int | slice) -> Scene | tuple[Scene, ...]:
        """A scene, or some of them."""
        if isinstance(index, slice):
            return tuple(map(self._scene, range(*index.indices(self._count))))
        return self._scene(range(self._count)[index])

    def __iter__(self) -> Iterator[Scene]:
        """All scenes."""
        return map(self._scene, range(self._count))

    def _scene(self, number: int) -> Scene:
        return self._opened(number // _PACKET)[number % _PACKET]

    def _open(self, packet: int) -> tuple[Scene, ...]:
        scenes: tuple[Scene, ...] = pickle.loads(zlib.decompress(self._packets[packet]))  # noqa: S301 - of this run
        return scenes
