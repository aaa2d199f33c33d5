"""Machines of a network of their own: namespaces of this kernel, joined by a bridge, whose cables can be pulled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = "10.213.77.1"  # this machine, for those in the namespaces


@dataclass(frozen=True)
class Machine:
    """A namespace by its name, with its address."""

    name: str
    address: str

    def python(self, folder: Path, python: str) -> str:
        """A file that runs Python there."""
        path = folder / f"python-{self.name}"
        path.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} {python} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def cut_off(self) -> None:
        """Pull the cable: connections stay open at both ends, and nothing comes any more."""
        _ip("link", "set", f"v{self.name}", "down")


def can_be_made() -> bool:
    """Whether this process may make namespaces."""
    if os.geteuid() or shutil.which("ip") is None:
        return False
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode == 0
    if made:
        _ip("netns", "delete", name)
    return made


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many machines, all of which reach this one and each other."""
    own = os.getpid() % 10_000
    bridge = f"b{own}"
    made = [Machine(f"n{own}x{number}", f"10.213.77.{number + 10}") for number in range(count)]
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{HERE}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for machine in made:
            _join(machine, bridge)
        yield made
    finally:
        for machine in made:
            subprocess.run(["ip", "netns", "delete", machine.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def _join(machine: Machine, bridge: str) -> None:
    cable = f"v{machine.name}"
    _ip("netns", "add", machine.name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
    _ip("link", "set", cable, "master", bridge, "up")
    _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip("-n", machine.name, "link", "set", device, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
