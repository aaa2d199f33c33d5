"""The certificates of `cluster.tls`, as dask takes them."""

from typing import Any

from runner.cluster.keys import key_of
from runner.errors import ClusterError, expanded
from runner.settings import TlsSettings


def security_of(tls: TlsSettings) -> Any:
    """A `distributed.Security` for all three roles, or None without settings. Raises ClusterError for no such file."""
    if not (tls.ca_file or tls.cert_file or tls.key_file):
        return None
    from distributed import Security  # noqa: PLC0415 - loaded by whoever asks for a scheduler

    authority, cert, key = (_file(name, getattr(tls, name)) for name in ("ca_file", "cert_file", "key_file"))
    roles = {
        f"tls_{role}_{name}": file
        for role in ("client", "scheduler", "worker")
        for name, file in (("cert", cert), ("key", key))
    }
    return Security(tls_ca_file=authority, require_encryption=True, **roles)


def _file(name: str, path: str | None) -> str:
    file = expanded(path or "").absolute()
    if not path or not file.is_file():
        raise ClusterError(
            f"{key_of('tls')}.{name}={path}: there is no such file; TLS needs ca_file, cert_file and "
            "key_file, all in PEM"
        )
    return str(file)
