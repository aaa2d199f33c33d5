"""Clients of schedulers that never answered are collected while no other one starts: dask holds a lock meanwhile."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    gc.freeze()  # or a collection walks through all that imports leave behind, for a fifth of a second
    yield
    gc.collect()
    gc.unfreeze()
