"""What libraries do at their start without need."""

import os
import subprocess
import sys

import pytest
from waiting import LONG

PROGRAM = """
import os, sys
from runner.host.libraries import spare_boto3, spare_threads_of_blas
spare_boto3()
spare_threads_of_blas()
import rasterio, rasterio.session
assert ("botocore" in sys.modules) is (len(sys.argv) > 1), "loaded by an import alone"
print(len(os.listdir("/proc/self/task")))
assert rasterio.session.boto3.Session.__module__ == "boto3.session"
"""


@pytest.mark.parametrize("keys", [False, True])
def test_rasterio_has_boto3_where_it_asks_for_it(keys: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} if keys else {}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(["loaded"] if keys else [])],
        capture_output=True, text=True, timeout=LONG, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
