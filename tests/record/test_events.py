"""A run's log has its own lines at every level, and none of a library's below INFO, since an answer may be a key."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.host.heartbeat import beside
from runner.host.threads import map_on_threads
from runner.record.events import events_kept

CLIENTS = (
    "botocore.parsers",
    "urllib3.connectionpool",
    "aiobotocore.x",
    "s3transfer.y",
    "fsspec",
    "s3fs",
    "numba.core",
)


@pytest.fixture
def verbose() -> Iterator[None]:
    """Everything at level DEBUG, and one library by its name, as hydra.verbose sets them."""
    root, named = logging.getLogger(), logging.getLogger("botocore.auth")
    before, of_named = root.level, named.level
    root.setLevel(logging.DEBUG)
    named.setLevel(logging.DEBUG)
    yield
    root.setLevel(before)
    named.setLevel(of_named)


@pytest.mark.usefixtures("verbose")
def test_no_debug_line_of_a_library_is_kept(tmp_path: Path) -> None:
    with events_kept(tmp_path):
        for name in (*CLIENTS, "botocore.auth"):
            logging.getLogger(name).debug("<SecretAccessKey>of the answer</SecretAccessKey>")
        logging.getLogger("botocore.retries").warning("tried again")
        logging.getLogger("runner.job").debug("a line of our own")
    for file in ("run.log", "events.jsonl"):
        text = (tmp_path / file).read_text()
        assert "SecretAccessKey" not in text
        assert "tried again" in text
        assert "a line of our own" in text
    assert logging.getLogger("botocore.auth").level == logging.DEBUG


@pytest.mark.usefixtures("verbose")
def test_each_of_many_runs_in_one_process_has_the_lines_of_the_threads_that_work_for_it(tmp_path: Path) -> None:
    log = logging.getLogger("runner.job")
    folders = [tmp_path / name for name in ("one", "other", "all")]
    for folder in folders:
        folder.mkdir()
    both = threading.Barrier(2)

    def run(folder: Path) -> None:
        with events_kept(folder, one_of_many=True):
            both.wait()
            log.info("of %s itself", folder.name)
            with beside(lambda: log.info("beside %s", folder.name), "helper"):
                list(map_on_threads(logging_tasks, folder.name, [1, 2], 2, lambda: None))
            both.wait()

    def logging_tasks(name: str, tasks: Iterator[int]) -> Iterator[int]:
        for task in tasks:
            log.info("task %d of %s", task, name)
            yield task

    with events_kept(folders[2]):
        threads = [threading.Thread(target=run, args=(folder,)) for folder in folders[:2]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        unbound = threading.Thread(target=log.info, args=("of nobody",))
        unbound.start()
        unbound.join()
    for folder in folders[:2]:
        lines = [line.partition("runner.job: ")[2] for line in (folder / "run.log").read_text().splitlines()]
        name = folder.name
        assert sorted(lines) == [f"beside {name}", f"of {name} itself", f"task 1 of {name}", f"task 2 of {name}"]
    assert [line.partition(": ")[2] for line in (folders[2] / "run.log").read_text().splitlines()] == ["of nobody"]
