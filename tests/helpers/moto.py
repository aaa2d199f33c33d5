"""moto, an S3 that is independent of ours, as a process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
