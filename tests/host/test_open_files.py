"""A process may open as many files as the system allows."""

import resource
import subprocess
import sys

CODE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
from runner.host.open_files import allow_many_files
allow_many_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_is_raised_to_the_highest_one() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 128
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == "(128, 128)\n"
