"""Shared fixtures: small stacks on disk, the command line, the demo archive."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from scenes_on_disk import speckle, write_scene
from waiting import LONG

from runner.config import job_config
from runner.config.messages import explain
from runner.config.overrides import refuse_overrides
from runner.config.vocabulary import config_dir
from runner.settings import JobSettings, SourceKind, SourceSettings
from runner.sweep.plugins import let_hydra_find_plugins

__all__ = ["ROOT", "Cli", "compose", "local_source", "moto_server", "speckle", "write_scene"]

# Other work on the machine is no failure.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
let_hydra_find_plugins()  # which it looks for once in a process, whatever test comes first

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parent.parent


# In a process of its own: GDAL waits for some answers with Python's lock held, which moto would need to give them.
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def moto_server() -> Iterator[str]:
    """The endpoint of a moto of its own, an S3 that is independent of ours."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", _MOTO], **pipes) as process:  # type: ignore[call-overload]
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests, so that the demo archive is made once and nobody's own cache is touched."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
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
def folder_of_scenes(tmp_path: Path) -> Path:
    """Four scenes of 300 x 500 pixels, six days apart, 2020-01-06 to 2020-01-24."""
    for at, day in enumerate((6, 12, 18, 24)):
        write_scene(tmp_path / "data" / f"S1A_202001{day:02}_ASC.tif", speckle((300, 500), seed=at))
    return tmp_path / "data"


def local_source(folder: Path, **changes: object) -> SourceSettings:
    """Every .tif of a folder, dated by eight digits in its name."""
    settings = {
        "name": "local",
        "kind": SourceKind.glob,
        "url": f"{folder}/**/*.tif",
        "datetime_regex": r"(?P<date>\d{8})",
    }
    return SourceSettings(**{**settings, **changes})  # type: ignore[arg-type]


def compose(*overrides: str) -> JobSettings:
    """The job that these words of the command line make, through Hydra and the checks; errors as a user gets them."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    job_config.register_settings()
    refuse_overrides(overrides)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            tree = hydra_compose("config", list(overrides))
        except HydraException as error:
            raise explain(error) from error
        tree.output.dir = "outputs/test"
        return job_config.read_job(tree, {})
