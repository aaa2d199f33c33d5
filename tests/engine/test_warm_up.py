"""Kernels are awaited, except by a run that was stopped."""

import threading

import pytest

from runner.engine import warm_up
from runner.engine.warm_up import KernelsLoading
from runner.errors import Interrupted
from runner.host.stopping import request_stop, stops_heeded


def test_an_interrupt_does_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, said = threading.Event(), list[str]()

    def compile_for_long() -> float:
        compiled.wait()
        return 1.0

    monkeypatch.setattr(warm_up, "load_kernels", compile_for_long)
    kernels = KernelsLoading(lambda: None)
    with stops_heeded(), pytest.raises(Interrupted), kernels, kernels.awaited(lambda phase, _: said.append(phase)):
        request_stop(lambda: Interrupted(2))
        raise Interrupted(2)
    assert not compiled.is_set()
    assert not said
    compiled.set()


def test_the_end_of_a_run_waits_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr(warm_up, "load_kernels", lambda: 1.0)
    with KernelsLoading(lambda: None) as kernels, kernels.awaited(lambda phase, _: said.append(phase)):
        pass
    assert said == ["compiling"]
