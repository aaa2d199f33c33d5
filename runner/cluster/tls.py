"""The certificates of `cluster.tls`, as dask takes them."""

from pathlib import Path
from typing import Any

from runner.errors import ClusterError, expanded
from runner.settings import TlsSettings


def security_of(tls: TlsSettings) -> Any:
    """A `distributed.Security` for all three roles, or None without settings. Raises ClusterError for no such file."""
    if not (tls.ca_file or tls.cert or tls.key):
        return None
    from distributed import Security  # noqa: PLC0415 - loaded by whoever asks for a scheduler

    files = {name: _file(name, getattr(tls, name)) for name in ("ca_file", "cert", "key")}
    roles = {
        f"tls_{role}_{name}": str(files[name]) for role in ("client", "scheduler", "worker") for name in ("cert", "key")
    }
    return Security(tls_ca_file=str(files["ca_file"]), require_encryption=True, **roles)


def _file(name: str, path: str | None) -> Path:
    file = expanded(path or "").absolute()
    if not path or not file.is_file():
        raise ClusterError(
            f"cluster.tls.{name}={path}: there is no such file; TLS needs cluster.tls.ca_file, cert and key, in PEM"
        )
    return file
