"""Threads of this process that share Python's lock."""

import sys

import pytest

from runner.host.threads import switching_often


def test_threads_switch_often_during_the_block_and_as_before_after_it() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(KeyError), switching_often():
        assert sys.getswitchinterval() < before
        raise KeyError
    assert sys.getswitchinterval() == before
