"""Shared fixtures: small stacks on disk, the command line, the demo archive."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jobs import Cli, Typed
from scenes_on_disk import speckle, write_scene
from typed import typed as typed_in
from waiting import LONG

from runner.sweep import let_hydra_find_plugins

# Other work on the machine is no failure.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
sys.dont_write_bytecode = False  # else every process rewrites the asserts of all test files anew, for seven seconds
let_hydra_find_plugins()  # which it looks for once in a process, whatever test comes first


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spare a run of the slow tests, in each of its processes, the files that have none."""
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text("utf-8")
    return None if "slow" in text or "few_quick" in text else True


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what stays to the end: modules, and some thousand tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests, so that the demo archive is made once and nobody's own cache is touched."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folders lie side by side
        folder = folder.parents[1] / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # a fifth of a second for each process that tests start
        yield folder


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`python -m runner ...` in a folder of its own; words, then keyword arguments of subprocess.run."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error::DeprecationWarning:runner", "-m", "runner", *words]
        return subprocess.run(
            command, **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": LONG, **options}
        )

    return run


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """The same within this process, for tests that look at what is done and said, not at the process that does it."""
    return partial(typed_in, tmp_path)


@pytest.fixture
def folder_of_scenes(tmp_path: Path) -> Path:
    """Four scenes of 300 x 500 pixels, six days apart, 2020-01-06 to 2020-01-24."""
    for at, day in enumerate((6, 12, 18, 24)):
        write_scene(tmp_path / "data" / f"S1A_202001{day:02}_ASC.tif", speckle((300, 500), seed=at))
    return tmp_path / "data"
