"""Clients of schedulers that never answered are collected while no other one starts: dask holds a lock meanwhile."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()
