"""What a command does not use, it does not load: start-up is a large part of a short run and of a sweep's jobs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import ROOT
from waiting import LONG

PROGRAM = """
import json, sys
sys.argv = ["runner", *sys.argv[1:]]
from runner.__main__ import main
assert main() == 0
print(json.dumps([*sys.modules]))
"""
OF_OTHER_WAYS = {"dask", "distributed", "xarray", "rioxarray", "pandas", "optuna", "s3fs", "rich.progress"}
OF_OTHER_WAYS |= {"scipy.stats", "scipy.sparse", "scipy.linalg"}  # numba looks at scipy's version, where there is one
OF_A_RUN = {"numba", "llvmlite", "pyarrow", "jinja2", "aiohttp", "runner.job", "runner.engine", "runner.report"}


def loaded(folder: Path, *words: str) -> set[str]:
    """The modules that a command has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=LONG, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_plan_of_local_files_loads_nothing_that_computes(folder_of_scenes: Path, tmp_path: Path) -> None:
    modules = loaded(tmp_path, "action=plan", "source=local", f"source.url='{folder_of_scenes}/*.tif'")
    assert not modules & (OF_OTHER_WAYS | OF_A_RUN)


def test_a_run_of_the_demo_loads_no_other_engine_and_nothing_to_compile_with(tmp_path: Path) -> None:
    first, second = (
        loaded(tmp_path, "source.limit=2", "chunks.y=512", f"output.dir={name}") for name in ("compiles", "run")
    )
    assert "numba" in first & second
    unused = {"aiohttp", "boto3.session", "pyarrow.compute", "numba.np.arrayobj"}
    assert not second & (OF_OTHER_WAYS | unused)


@pytest.mark.slow
def test_a_run_of_an_archive_loads_no_more(folder_of_scenes: Path, tmp_path: Path) -> None:
    words = ["source=local", f"source.url='{folder_of_scenes}/*.tif'", "source.stack_by=[orbit]", "output.dir=run"]
    named = r"source.datetime_regex='S1A_(?P<date>\d{8})_(?P<orbit>\w+)'"
    assert not loaded(tmp_path, *words, named) & (OF_OTHER_WAYS | {"pyarrow.compute"})


def test_the_server_of_the_demo_loads_the_standard_library_alone() -> None:
    program = (
        "import sys, runner.demo.server, runner.demo.s3_app; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=LONG, cwd=ROOT)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"runner", "__main__"}
