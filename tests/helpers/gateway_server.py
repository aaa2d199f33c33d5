"""A dask-gateway server with its local backend, on loopback: clusters are processes of this machine."""

import importlib.util
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from waiting import LONG, wait_until

_CONF = """\
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{private}"
c.Proxy.address = "127.0.0.1:{public}"
c.UnsafeLocalBackend.clusters_directory = "{folder}"
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_cmd = ["{python}", "-m", "distributed.cli.dask_worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
"""


def missing_packages() -> str | None:
    """Why there can be no server here; None if there can."""
    absent = [
        name for name in ("dask_gateway", "dask_gateway_server", "sqlalchemy") if not importlib.util.find_spec(name)
    ]
    return f"no {', '.join(absent)}: pip install dask-gateway 'dask-gateway-server[local]'" if absent else None


@contextmanager
def gateway_server(folder: Path) -> Iterator[str]:
    """Start the server, and stop it with all clusters. Yields its address."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = dict(zip(("private", "public"), (one.getsockname()[1] for one in sockets), strict=True))
    (folder / "config.py").write_text(_CONF.format(folder=folder, python=sys.executable, **ports))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "dask_gateway_server", "-f", str(folder / "config.py")]
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log) as server,
    ):
        try:
            wait_until(lambda: server.poll() is not None or _answers(ports["public"]))
            assert server.poll() is None, (folder / "log.txt").read_text()
            yield f"http://127.0.0.1:{ports['public']}"
        finally:
            server.terminate()
            server.wait(LONG)


def _answers(port: int) -> bool:
    """Whether the proxy knows the way to the server, which comes a moment after its port is open."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/options", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # it asks who we are
    except OSError:
        return False
