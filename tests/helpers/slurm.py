"""A real Slurm of two nodes on this machine, under a folder of its own. It needs root, slurm-wlm and munge."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
_SBIN = "/usr/sbin:/sbin"
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,defer
KillWait=2
MailProg=/bin/true
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1} CPUs=4 RealMemory=8000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2} CPUs=4 RealMemory=8000
PartitionName=normal Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=node1,node2 MaxTime=INFINITE State=DOWN
"""


def missing_programs() -> str | None:
    """Why there can be no Slurm here; None if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd needs root"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons, and stop them. Yields the environment in which sbatch finds them."""
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    ports = dict(zip(("controller", "node1", "node2"), _free_ports(3), strict=True))
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text(_CONF.format(folder=folder, host=socket.gethostname(), **ports))
    with ExitStack() as daemons:
        _start_munge(folder, environment, daemons)
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "node1"], ["slurmd", "-D", "-N", "node2"]):
            daemons.enter_context(_daemon(command, environment, folder / f"{'-'.join(command)}.txt"))
        _await(lambda: _output(["sinfo", "-h", "-p", "normal", "-o", "%D %t"], environment) == "2 idle", folder)
        yield environment


def queued(environment: dict[str, str]) -> list[str]:
    """The jobs in the queue: id and state."""
    return _output(["squeue", "-h", "-o", "%i %T"], environment).splitlines()


def _start_munge(folder: Path, environment: dict[str, str], daemons: ExitStack) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid",
             "log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}  # fmt: skip
    command = ["munged", "--force", "--foreground", *(f"--{name}={path}" for name, path in files.items())]
    daemons.enter_context(_daemon(command, environment, folder / "munge.txt"))
    _await((folder / "munge.socket").exists, folder)


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(ready: object, folder: Path) -> None:
    stop = time.monotonic() + 60
    while not ready():  # type: ignore[operator]
        if time.monotonic() > stop:
            logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in folder.glob("*.txt"))
            raise TimeoutError(f"Slurm does not start: {logs}")
        time.sleep(0.2)


def _output(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout.strip()


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{_SBIN}"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
