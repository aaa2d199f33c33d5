"""Scenes in packets are the scenes, however they are asked for, here and after a journey."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from runner.engine.packed_scenes import PackedScenes

SCENES: Any = tuple(SimpleNamespace(name=f"scene {number}") for number in range(600))


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_packed_scenes_are_the_scenes(count: int) -> None:
    scenes = SCENES[:count]
    packed = pickle.loads(pickle.dumps(PackedScenes.of(scenes)))
    assert len(packed) == count
    assert tuple(packed) == scenes
    for part in (slice(0, 3), slice(250, 260), slice(None), slice(-2, None), slice(5, 2)):
        assert packed[part] == scenes[part]
    if count:
        assert (packed[0], packed[-1]) == (scenes[0], scenes[-1])
    with pytest.raises(IndexError):
        packed[count]


def test_a_scene_opens_its_own_packet_alone_and_once() -> None:
    packed = PackedScenes.of(SCENES)
    assert packed[300] is packed[300]
    assert packed._opened.cache_info().currsize == 1
    assert packed is PackedScenes.of(packed)
