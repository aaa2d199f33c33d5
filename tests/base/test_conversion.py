"""Typed records made in several threads."""

import re
import subprocess
import sys
from typing import Final

import pytest
from jobs import ROOT

_RACE: Final = """
import sys, threading, msgspec
from runner.base.conversion import converted, decoded

sys.setswitchinterval(1e-6)
for number in range(300):
    inner = msgspec.defstruct("Inner", [(f"field{place}", dict[str, list[int]], {}) for place in range(8)])
    kind = msgspec.defstruct("Outer", [(f"field{place}", list[inner], []) for place in range(8)])
    start, found = threading.Barrier(4), []

    def convert():
        start.wait()
        found.append(converted({"field0": [{}]}, kind) if number % 2 else decoded(b'{"field0":[{}]}', kind))

    threads = [threading.Thread(target=convert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == 4 * [kind(field0=[inner()])]
"""


@pytest.mark.slow
def test_threads_that_use_a_type_first_at_the_same_time_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", _RACE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_else_lets_msgspec_look_at_types() -> None:
    of_types = re.compile(r"msgspec\.convert\(|msgspec\.\w+\.Decoder\(|msgspec\.json\.decode\(.*type=")
    modules = [path for path in (ROOT / "runner").rglob("*.py") if of_types.search(path.read_text("utf-8"))]
    assert modules == [ROOT / "runner/base/conversion.py"]
