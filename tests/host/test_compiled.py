"""Kernels on disk: damaged files are compiled again, once, and never run; a disk that refuses is no failure."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba.core.config
import pytest
from jobs import ROOT

from runner.errors import PlanError
from runner.host.compiled import compiled, inlined, is_on_disk
from runner.host.dispatcher import _ROOMS, KernelCache

PACKAGE = sorted((ROOT / "runner").rglob("*.py"))
WITH_KERNELS = [path for path in PACKAGE if re.search(r"^\s*@compiled", path.read_text("utf-8"), re.MULTILINE)]
SOURCE = """
from runner.host.compiled import compiled
@compiled
def twice(number):
    return number + number
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Any]:
    """The kernel `twice` as a new process has it: nothing loaded, its files where another may have left them."""
    (tmp_path / "kernel.py").write_text(SOURCE)

    def load() -> Any:
        spec = importlib.util.spec_from_file_location("kernel", tmp_path / "kernel.py")
        assert spec
        assert spec.loader
        module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    return load


def files(tmp_path: Path, kind: str) -> list[Path]:
    return sorted(tmp_path.rglob(f"*.{kind}"))


def hits(kernel: Any) -> int:
    return sum(kernel.dispatcher.stats.cache_hits.values())


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


SPOILS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(b"\x80garbage"),
    "a flipped byte": flip_a_byte,
}


def test_a_kernel_is_compiled_once(tmp_path: Path, fresh: Callable[[], Any]) -> None:
    assert [fresh()(2) for _ in range(2)] == [4, 4]
    kernel = fresh()
    assert (kernel(3), hits(kernel)) == (6, 1)


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_compiled_again_once(
    tmp_path: Path, fresh: Callable[[], Any], kind: str, spoil: Callable[[Path], object]
) -> None:
    assert fresh()(2) == 4
    (file,) = files(tmp_path, kind)
    spoil(file)
    again, last = fresh(), fresh()
    assert (again(2), hits(again)) == (4, 0)
    assert (last(2), hits(last)) == (4, 1)


def test_a_kernel_is_on_disk_once_it_was_called(fresh: Callable[[], Any]) -> None:
    kernel = fresh()
    assert not is_on_disk(kernel)
    kernel(2)
    assert is_on_disk(fresh())


def test_a_kernel_calls_what_is_compiled_into_it() -> None:
    @inlined
    def half(number):  # type: ignore[no-untyped-def]
        return number / 2

    @compiled
    def quarter(number):  # type: ignore[no-untyped-def]
        return half(half(number))

    assert quarter(4) == 1.0


def test_a_module_of_kernels_loads_no_compiler() -> None:
    program = "import sys, runner.reduce.fused; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("spoil", [SPOILS[name] for name in ("cut", "empty", "garbage")])
def test_a_damaged_index_counts_as_no_code_on_disk(
    tmp_path: Path, fresh: Callable[[], Any], spoil: Callable[[Path], object]
) -> None:
    assert fresh()(2) == 4
    assert is_on_disk(fresh())
    spoil(*files(tmp_path, "nbi"))
    assert not is_on_disk(fresh())


def test_code_of_another_signature_is_not_run(tmp_path: Path, fresh: Callable[[], Any]) -> None:
    kernel = fresh()
    assert (kernel(2), kernel(2.5)) == (4, 5.0)
    whole, half = files(tmp_path, "nbc")
    half.write_bytes(whole.read_bytes())  # as two processes may leave it that compile at the same time
    assert (fresh()(2.5), fresh()(2)) == (5.0, 4)


def test_a_disk_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch, fresh: Callable[[], Any]) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kernel = fresh()
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_index", full)
    assert kernel(2) == 4
    assert isinstance(kernel.dispatcher._cache, KernelCache)


def test_without_the_compiler_a_kernel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.core.config, "DISABLE_JIT", 1)
    kernel = compiled(len)
    with pytest.raises(PlanError, match="NUMBA_DISABLE_JIT is set, and len is right and fast only when it is compiled"):
        kernel([])


def test_a_run_without_the_compiler_is_refused_in_one_line(folder_of_scenes: Path) -> None:
    words = ["source=local", f"source.url='{folder_of_scenes}/*.tif'", f"output.dir={folder_of_scenes.parent}/run"]
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: NUMBA_DISABLE_JIT is set")]


@pytest.mark.parametrize("path", WITH_KERNELS, ids=lambda path: path.stem)
def test_a_change_of_a_file_with_kernels_changes_their_stamp(path: Path) -> None:
    assert path.parent in {ROOT / "runner" / room for room in _ROOMS}


def test_every_room_of_the_stamp_has_kernels() -> None:
    assert {path.parent.name for path in WITH_KERNELS} == set(_ROOMS)
