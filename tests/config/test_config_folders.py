"""A config search path is a folder, and every config file that is loaded lies inside of one."""

import sys
from pathlib import Path

import pytest
from config_files import refusal, theirs
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from jobs import compose

from runner.config import job_config
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError

OUTSIDE = "an option is a file of a config folder and cannot lie outside of it"
PACKAGES = ("pkg://theirs_py", "structured://theirs_py", "${oc.env:THEIRS}", "pkg:${oc.env:SLASHES}theirs_py")


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a Python package that Python finds, named by the environment."""
    (tmp_path / "theirs_py").mkdir()
    (tmp_path / "theirs_py/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("THEIRS", "pkg://theirs_py")
    monkeypatch.setenv("SLASHES", "//")
    return tmp_path


@pytest.mark.parametrize("path", PACKAGES)
def test_the_search_path_of_a_primary_config_imports_no_package(importable: Path, path: str) -> None:
    (importable / "mine.yaml").write_text(f"defaults: [config, _self_]\nhydra: {{searchpath: ['{path}']}}\n")
    job_config.register_settings()
    with initialize_config_dir(str(importable), version_base="1.3"), pytest.raises(ConfigError) as caught:
        hydra_compose("mine")
    assert "wanted folders, as a path or file://PATH; not a Python package" in str(caught.value)
    assert "theirs_py" not in sys.modules


@pytest.mark.parametrize("path", PACKAGES[:2])
def test_nor_does_one_of_the_command_line(importable: Path, path: str) -> None:
    assert "not a Python package" in refusal(f"hydra.searchpath=[{path}]")
    assert importable.is_dir()
    assert "theirs_py" not in sys.modules


def test_a_search_path_holds_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abcdefghijk")
    (tmp_path / "mine.yaml").write_text("hydra: {searchpath: ['/x/${oc.env:${oc.env:NAMED}}']}\n")
    monkeypatch.setenv("NAMED", "SOME_TOKEN")
    job_config.register_settings()
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(ConfigError, match="redacted"):
        hydra_compose("mine")


@pytest.mark.parametrize("path", ["", "file://"])
def test_a_folder_is_searched_by_its_path(tmp_path: Path, path: str) -> None:
    theirs(tmp_path, "name: theirs\n", "source/theirs")
    theirs(tmp_path, "defaults: [demo, theirs, _self_]\n", "source/both")
    assert compose(f"hydra.searchpath=[{path}{tmp_path}]", "source=both").source.name == "theirs"


@pytest.mark.parametrize(
    "default", ["../../outside/raw", "/../outside/raw", "//{outside}/raw", "/../outside@x: raw", "../../outside: raw",
                "optional ../../outside: raw", "/source: ../../outside/raw", "../${oc.env:UP}/outside/raw"]
)  # fmt: skip
def test_a_default_of_a_group_cannot_lie_outside_of_the_config_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    monkeypatch.setenv("UP", "..")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "raw.yaml").write_text("name: outside\n")
    entry = default.format(outside=outside) if "{outside}" in default else default
    path = theirs(tmp_path / "conf", f"defaults:\n- local\n- {entry}\n", "source/theirs")
    assert OUTSIDE in refusal(path, "source=theirs")


@pytest.mark.parametrize("word", ["source=../experiment/engines", "experiment=../source/demo"])
def test_nor_can_an_option_of_the_command_line(word: str) -> None:
    assert OUTSIDE in refusal(word)


@pytest.mark.parametrize("name", ["source/local", "chunks/row", "settings", "experiment/mine"])
def test_a_file_is_refused_that_another_folder_would_hide_or_be_hidden_by(tmp_path: Path, name: str) -> None:
    for number, folder in enumerate((tmp_path / "one", tmp_path / "two")):
        theirs(folder, f"# @package _global_\nsource: {{name: n{number}}}\n", name)
    group, _, option = name.rpartition("/")
    words = [f"hydra.searchpath=[{tmp_path / 'one'},{tmp_path / 'two'}]", *([f"{group}={option}"] if group else [])]
    with pytest.raises(ConfigError, match=f"/two/{name}.yaml: another config folder has a '{name}' too"):
        compose(*words)


def test_a_copy_of_our_files_hides_nothing(tmp_path: Path) -> None:
    theirs(tmp_path, (config_dir() / "chunks/row.yaml").read_text(), "chunks/row")
    assert compose(f"hydra.searchpath=[{tmp_path}]", "chunks=row").chunks.x == "all"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exclude: '*a*'\n", "source/theirs.yaml:2: source.exclude: wanted a list, such as [a, b]"),
        ("start: [a, b]\n", "source/theirs.yaml:2: source.start=['a', 'b']: wanted one value, and got a list"),
        ("start: {a: b}\n", "source.start={'a': 'b'}: wanted one value, and got a mapping"),
        ("url: {a: b}\n", "source/theirs.yaml:2: source.url.a: there is no such setting; did you mean 'source.url'"),
        ("url: [a, 7]\n", "source/theirs.yaml:2: source.url=['a', 7]: wanted a text, or a list of texts"),
        ("url: '${oc.env:NOT_SET}'\n", "source.url: the environment has no variable NOT_SET"),
    ],
)
def test_a_value_of_another_shape_is_named_with_what_was_wanted(tmp_path: Path, text: str, message: str) -> None:
    theirs(tmp_path, f"defaults: [local, _self_]\n{text}", "source/theirs")
    with pytest.raises(ConfigError) as caught:
        compose(f"hydra.searchpath=[{tmp_path}]", "source=theirs")
    assert message in str(caught.value)
