"""A run's log has its own lines at every level, and none of a library's below INFO, since an answer may be a key."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

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
