"""The command is named so that it can be pasted where the user is."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import LONG

from runner.base import command as module
from runner.base.command import COMMAND, command, way_on
from runner.errors import ArchiveError, ConfigError, Interrupted, OtherStackFailed, PlanError
from runner.read.store_errors import StoreError

SCRIPT = Path(sys.executable).with_name(COMMAND)


@pytest.fixture(autouse=True)
def _asked_afresh() -> Iterator[None]:
    module.command.cache_clear()
    yield
    module.command.cache_clear()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A folder with an interpreter and the scripts of these names, from which we run."""

    def make(*names: str) -> Path:
        for name in ("python", *names):
            (tmp_path / name).touch(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        return tmp_path

    return make


def test_a_command_that_the_shell_finds_goes_by_its_name(
    environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(environment(COMMAND)))
    assert command() == COMMAND


def test_one_that_it_does_not_find_goes_by_its_path(
    environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment(COMMAND)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(folder.parent)
    assert command() == f"{folder.name}/{COMMAND}"
    module.command.cache_clear()
    monkeypatch.chdir("/")
    assert command() == str(folder / COMMAND).removeprefix("/")


def test_without_it_the_interpreter_runs_the_package(
    environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment()
    monkeypatch.setenv("PATH", str(folder))
    assert command() == "python -m runner"
    module.command.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(folder)
    assert command() == "python -m runner"


def typed(cwd: Path, *words: str, **more: str) -> str:
    done = subprocess.run(
        [SCRIPT, *words], cwd=cwd, capture_output=True, text=True, timeout=LONG, env={**os.environ, **more}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_runner_py_of_ones_own_does_not_stand_before_it(tmp_path: Path) -> None:
    (tmp_path / "runner.py").write_text("raise SystemExit('mine')\n")
    assert typed(tmp_path, "--version").startswith(f"{COMMAND} 0.")
    assert f"{COMMAND} log [-h] VERB" in typed(tmp_path, "log", "--help")


def test_words_are_completed_by_tab(tmp_path: Path) -> None:
    assert f"complete -o nospace -o default -F hydra_bash_completion {COMMAND}" in typed(
        tmp_path, "-sc", "install=bash"
    )
    line = f"{COMMAND} chunks="
    assert "chunks=row" in typed(tmp_path, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))


@pytest.mark.parametrize(
    ("error", "way"),
    [
        (Interrupted(2), "to go on: {}"),
        (OtherStackFailed(), "to go on: {}"),
        (StoreError("s3://b/k", "it does not answer"), "to go on, once that is fixed: {}"),
        (ArchiveError("1 stack failed"), "to go on, once that is fixed: {}"),
        (ArchiveError("all lie outside", of_settings=True), "to go on with other settings: {} -- KEY=VALUE"),
        (ConfigError("source.bbox_crs=x: wanted a CRS"), "to go on with other settings: {} -- KEY=VALUE"),
        (PlanError("it does not fit"), "to go on with other settings: {} -- KEY=VALUE"),
    ],
)
def test_resume_is_advised_as_it_can_help(error: BaseException, way: str) -> None:
    assert way_on(Path("out"), error) == way.format(f"{command()} log resume out")
