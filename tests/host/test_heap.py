"""What glibc is told about its heaps."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import ROOT
from waiting import LONG


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize(("told", "heaps"), [("use_one_heap()", 1), ("pass", 5)])
def test_all_threads_take_memory_from_one_heap(tmp_path: Path, told: str, heaps: int) -> None:
    program = f"""
import ctypes, threading
from runner.host.heap import use_one_heap
{told}
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
taken = threading.Barrier(5)
def take():
    libc.malloc(4096)
    taken.wait()
threads = [threading.Thread(target=take) for _ in range(4)]
[thread.start() for thread in threads]
taken.wait()
stream = ctypes.c_void_p(libc.fopen(b"heaps.xml", b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    environment["PYTHONPATH"] = str(ROOT)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment, timeout=LONG)
    assert (tmp_path / "heaps.xml").read_text().count("<heap nr=") == heaps
