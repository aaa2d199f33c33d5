"""An ssh server of one's own on loopback, with one key. It needs openssh-server."""

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from waiting import LONG, wait_until

_PATH = "/usr/sbin:/usr/bin:/bin:/usr/local/bin"
_CONF = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AcceptEnv PYTHONPATH
"""


class Host(NamedTuple):
    """Where the server is, and what lets a user in."""

    port: int
    username: str
    key_file: str
    known_hosts: str


def missing_programs() -> str | None:
    """Why there can be no server here; None if there can."""
    absent = [name for name in ("sshd", "ssh-keygen") if shutil.which(name, path=_PATH) is None]
    return f"no {', '.join(absent)}: apt-get install openssh-server" if absent else None


@contextmanager
def sshd(folder: Path) -> Iterator[Host]:
    """Start the server, and stop it."""
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(_CONF.format(folder=folder, port=port))
    public = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    Path("/run/sshd").mkdir(exist_ok=True)  # which it wants for its unprivileged part
    command = [shutil.which("sshd", path=_PATH) or "sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        try:
            wait_until(lambda: b"listening" in (folder / "sshd.log").read_bytes())
            yield Host(port, getpass.getuser(), str(folder / "user_key"), str(folder / "known_hosts"))
        finally:
            server.terminate()
            server.wait(LONG)
