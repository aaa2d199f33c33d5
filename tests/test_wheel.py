"""What is installed from the wheel works without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from jobs import ROOT, Cli


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder our wheel was unpacked into."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_package_its_configs_and_its_licence(installed: Path) -> None:
    tops = {path.name.partition("-")[0] for path in installed.iterdir()}
    assert tops == {"runner", "cog_stack_runner"}
    assert (installed / "runner/conf/config.yaml").is_file()
    assert (installed / "runner/LICENSE").is_file()
    assert (installed / "runner/docs/guarantees.md").is_file()
    assert {"base.html.j2", "run.html.j2", "archive.html.j2", "style.css"} <= {
        path.name for path in (installed / "runner/report").iterdir()
    }
    assert not [path for path in installed.rglob("*") if "__pycache__" in path.parts]


def test_an_installed_runner_finds_its_configs_and_the_users(installed: Path, cli: Cli, tmp_path: Path) -> None:
    own = tmp_path / "mine/source"
    own.mkdir(parents=True)
    (own / "lake.yaml").write_text("defaults: [local]\nname: lake\nurl: /data/*.tif\n")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = cli("--config-dir", "mine", "source=lake", "--info", "searchpath", env=environment)
    assert done.returncode == 0, done.stderr
    assert str(installed / "runner/conf") in done.stdout
    composed = cli("--config-dir", "mine", "source=lake", "--cfg", "job", env=environment)
    assert "name: lake" in composed.stdout


@pytest.mark.slow
def test_an_installed_runner_sweeps_with_each_job_in_a_process_of_its_own(
    installed: Path, cli: Cli, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    words = ("-m", "hydra/launcher=isolated", "hydra.sweep.dir=sweep", "source=local", "source.url=none/*.tif")
    done = cli(*words, env=environment)
    assert done.returncode == 1
    assert "1 of 1 runs did not complete (1 FAILED)" in done.stderr
    assert "nothing matches" in (tmp_path / "sweep/000/console.log").read_text()
