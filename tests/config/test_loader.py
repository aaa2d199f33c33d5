"""A run is composed once, though Hydra first asks for its mode; the tree is that of Hydra's two compositions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from jobs import compose
from omegaconf import OmegaConf

from runner.config import job_config, loader
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


# --- what every composition would do anew -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "times", "limit"),
    [("override /chunks: row", 0, None), ('/few: "${experiment}"', 1, 3)],
    ids=["none asks", "one asks"],
)
def test_choices_are_put_together_for_a_file_that_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, times: int, limit: int | None
) -> None:
    asked = Mock(wraps=loader._CHOICES)
    monkeypatch.setattr(loader, "_CHOICES", asked)
    for name, text in {"experiment/mine": f"defaults: [{{{entry}}}]", "few/mine": "source: {limit: 3}"}.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir()
        path.write_text(f"# @package _global_\n{text}\n")
    assert compose(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine").source.limit == limit
    assert asked.call_count == times


def test_a_file_is_parsed_when_its_text_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted(source: FileConfigSource, name: str) -> Any:
        parsed.append(name)
        return load(source, name)

    parsed: list[str] = []
    load = FileConfigSource.load_config
    monkeypatch.setattr(FileConfigSource, "load_config", noted)
    (tmp_path / "experiment").mkdir()
    compose(folder := f"hydra.searchpath=[file://{tmp_path}]")
    for text, words, limit in [("3", [], 3), ("3", ["source.limit=4"], 4), ("3", [], 3), ("2", [], 2)]:
        (tmp_path / "experiment/mine.yaml").write_text(f"# @package _global_\nsource: {{limit: {text}}}\n")
        assert compose(folder, "experiment=mine", *words).source.limit == limit
    assert [name for name in parsed if name == "experiment/mine"] == 2 * ["experiment/mine"]
    assert len(parsed) == len(set(parsed)) + 1
