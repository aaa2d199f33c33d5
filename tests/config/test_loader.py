"""A run is composed once, though Hydra first asks for its mode; the tree is that of Hydra's two compositions."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from runner.config import job_config
from runner.config.loader import JobLoader
from runner.config.vocabulary import config_dir


@pytest.fixture
def hydra() -> Iterator[Hydra]:
    job_config.register_settings()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        application = GlobalHydra.instance().hydra
        assert application is not None
        yield application


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[RunMode]:
    """The modes of all compositions."""
    modes: list[RunMode] = []

    def counted(self: JobLoader, name: str | None, words: list[str], mode: RunMode, *more: bool) -> Any:
        modes.append(mode)
        return checked(self, name, words, mode, *more)

    checked = JobLoader._checked
    monkeypatch.setattr(JobLoader, "_checked", counted)
    return modes


@pytest.mark.parametrize("words", ["", "chunks=row cluster=processes", "hydra.mode=RUN source.limit=3"])
def test_a_run_is_composed_once(hydra: Hydra, composed: list[RunMode], words: str) -> None:
    asked = words.split()
    mode = hydra.get_mode("config", asked)
    asked += [] if mode else ["hydra.mode=RUN"]  # as Hydra adds it
    once = hydra.compose_config("config", asked, RunMode.RUN)
    assert composed == [RunMode.RUN]
    again = hydra.compose_config("config", asked, RunMode.RUN)
    assert OmegaConf.to_container(once) == OmegaConf.to_container(again)
    assert once.hydra.mode is RunMode.RUN


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("chunks=row,tile", None),
        ("hydra.mode=MULTIRUN chunks=row", RunMode.MULTIRUN),
        ("hydra.mode=MULTIRUN chunks=row,tile", RunMode.MULTIRUN),
        ("experiment=tune_clusters", RunMode.MULTIRUN),
        ("chunks=nonesuch", None),
    ],
)
def test_a_multirun_and_a_mistake_have_the_mode_of_hydra(hydra: Hydra, words: str, mode: RunMode | None) -> None:
    assert hydra.get_mode("config", words.split()) is mode


def test_another_job_is_composed_again(hydra: Hydra, composed: list[RunMode]) -> None:
    hydra.get_mode("config", ["source.limit=3"])
    assert hydra.compose_config("config", ["source.limit=4"], RunMode.RUN).source.limit == 4
    assert composed == [RunMode.RUN, RunMode.RUN]
