"""A fault is the object's if a second reading says the same; else it is the worker's, the store's or the network's."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faulty_server import FaultyServer, Script, always, faulty_server, for_blocks
from jobs import compose, found_stack
from masked_scenes import mask_settings, masked_stack, write_mask, write_pair
from scenes_on_disk import speckle, write_scene

from runner.engine.second_look import confirmed
from runner.engine.trace import Place, TaskTrace
from runner.errors import ReadError
from runner.model import Stack
from runner.planning.reading import make_reading
from runner.planning.records import Task
from runner.read.header import Window
from runner.read.store_errors import ChangedError, DeniedError, MissingError, StoreError
from runner.settings import JobSettings

SHAPE = (300, 200)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    write_scene(tmp_path / "b/20200106.tif", speckle(SHAPE), blockxsize=128, blockysize=128)
    with faulty_server(tmp_path) as server:
        yield server


def job_at(server: FaultyServer, *words: str) -> JobSettings:
    s3 = [f"source.s3.endpoint_url={server.endpoint}", "source.s3.anonymous=true"]
    return compose("source=local", "source.url=s3://b/*.tif", "fetch.attempts=2", *s3, *words)


def stack_of(job: JobSettings) -> Stack:
    return found_stack(job.source, on_error=job.on_error)


def seen_by(error: ReadError, worker: str) -> ReadError:
    """The error as the task of a worker brings it."""
    error.task = TaskTrace(0, Task(Window(0, 0, 128, 200), 0, 1), Place(worker, None), 0, 1)
    return error


def damage(path: Path) -> None:
    """In place, so that nothing but the pixels tells."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_damage_that_is_seen_twice_is_the_objects(server: FaultyServer, tmp_path: Path, reader: str) -> None:
    job = job_at(server, f"reader={reader}", "gdal=cloud")
    stack = stack_of(job)
    damage(tmp_path / "b/20200106.tif")
    again = confirmed(make_reading(job, stack), stack, ReadError(stack.scenes[0].href, "a block is damaged"))
    assert not isinstance(again, StoreError)
    assert again.href == stack.scenes[0].href


def test_an_object_that_two_readings_miss_is_gone(server: FaultyServer, tmp_path: Path) -> None:
    job = job_at(server)
    stack = stack_of(job)
    (tmp_path / "b/20200106.tif").unlink()
    assert isinstance(
        confirmed(make_reading(job, stack), stack, MissingError(stack.scenes[0].href, "not found")), MissingError
    )


@pytest.mark.parametrize("reader", ["auto", "gdal"])
@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (always("expired"), StoreError, "the credentials have expired"),
        (always("503"), StoreError, "throttles"),
        (always("403"), DeniedError, "access denied"),
        (always("301"), StoreError, "set source.s3.region"),
    ],
)
def test_a_fault_of_the_store_is_told_in_place_of_the_first(
    server: FaultyServer, reader: str, script: Script, kind: type[ReadError], words: str
) -> None:
    job = job_at(server, f"reader={reader}")
    stack = stack_of(job)
    server.script = for_blocks(script)
    with pytest.raises(kind, match=words):
        confirmed(make_reading(job, stack), stack, ReadError(stack.scenes[0].href, "GDAL cannot read it"))


def test_an_object_that_was_replaced_meanwhile_is_not_read(server: FaultyServer, tmp_path: Path) -> None:
    job = job_at(server)
    stack = stack_of(job)
    write_scene(tmp_path / "b/20200106.tif", speckle(SHAPE, seed=3), blockxsize=128, blockysize=128)
    with pytest.raises(ChangedError):
        confirmed(make_reading(job, stack), stack, ReadError(stack.scenes[0].href, "a block is damaged"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MissingError, "worker tcp://far:1 does not find it, but this process does; let all workers see the same"),
        (ReadError, "worker tcp://far:1 says: it fails; but this process can read it: check that worker"),
    ],
)
@pytest.mark.parametrize("words_of_job", [["reader=auto"], ["reader=gdal"], ["engine=xarray"]])
def test_a_fault_that_one_worker_sees_is_the_workers(
    folder_of_scenes: Path, error: Callable[[str, str], ReadError], words: str, words_of_job: list[str]
) -> None:
    job = compose("source=local", f"source.url={folder_of_scenes}/*0106*.tif", *words_of_job)
    stack = stack_of(job)
    with pytest.raises(StoreError, match=words):
        confirmed(make_reading(job, stack), stack, seen_by(error(stack.scenes[0].href, "it fails"), "tcp://far:1"))


def test_a_fault_that_does_not_come_again_is_not_the_objects(server: FaultyServer) -> None:
    job = job_at(server)
    stack = stack_of(job)
    with pytest.raises(StoreError, match="it fails; but read again, by this process, it is whole"):
        confirmed(make_reading(job, stack), stack, ReadError(stack.scenes[0].href, "it fails"))


def test_what_is_not_the_objects_fault_is_not_looked_at_again(server: FaultyServer) -> None:
    job = job_at(server)
    stack = stack_of(job)
    before = server.requests
    with pytest.raises(DeniedError):
        confirmed(make_reading(job, stack), stack, DeniedError(stack.scenes[0].href, "access denied"))
    assert server.requests == before


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_damage_of_a_mask_is_its_scenes(tmp_path: Path, reader: str) -> None:
    place = Window(0, 0, *SHAPE)
    write_pair(tmp_path, 1, place, speckle(SHAPE))
    codes = np.random.default_rng(0).integers(0, 200, SHAPE, dtype=np.uint8)
    path = write_mask(tmp_path, 1, place, codes, compress="lzw")
    mask = mask_settings(bits=[0])
    job = replace(compose("source=local", f"source.url={tmp_path}/*_B.tif", f"reader={reader}"), mask=mask)
    stack = masked_stack(job.source, mask)
    reading, error = make_reading(job, stack), ReadError(str(path), "a tile is damaged")
    with pytest.raises(StoreError, match="but read again, by this process, it is whole"):
        confirmed(reading, stack, error)
    damage(path)
    again = confirmed(reading, stack, error)
    assert again.href == str(tmp_path / "20200101_B.tif")
    assert again.problem.startswith(f"its mask {path}: ")
