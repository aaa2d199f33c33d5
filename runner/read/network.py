"""Causes of failed connections, and the environment in which all clients reach a store in the same way."""

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib import request
from urllib.parse import urlsplit

from runner.errors import SourceError
from runner.read.services import S3, Service

CONNECT_SECONDS: Final = 10
_PROBE_SECONDS: Final = 2
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


class Cause(NamedTuple):
    """The cause of a failed connection: a sentence with the remedy, and True if another attempt may succeed."""

    sentence: str
    passing: bool


class _Sign(NamedTuple):
    """A pattern of a cause in messages of clients (reqwest, urllib3, OpenSSL), and its sentence."""

    pattern: str
    sentence: str
    passing: bool = True


SENT_ON: Final = "{endpoint} sends on to another address, where it fails: {reason}"
_TRUST: Final = "set {bundle} to a PEM file that holds the certificate of its authority"
_SIGNS: Final = (
    _Sign(
        r"CaUsedAsEndEntity",
        "the server at {endpoint} shows the certificate of an authority as its own; give it one with CA:FALSE",
        passing=False,
    ),
    _Sign(
        r"InvalidContentType|WRONG_VERSION_NUMBER|wrong version number|RECORD_LAYER_FAILURE",
        "{endpoint} speaks no TLS: write http:// in {setting}",
        passing=False,
    ),
    _Sign(
        r"InvalidCertificate\(\s*(?:Expired|ExpiredContext)|certificate has expired",
        "the certificate of {endpoint} has expired; renew it, or set the clock of this machine",
        passing=False,
    ),
    _Sign(
        r"InvalidCertificate\(\s*NotValidForName|doesn't match '|ostname mismatch|IP address mismatch",
        "the certificate of {endpoint} is of another name; use the name that it was made for",
        passing=False,
    ),
    _Sign(
        r"InvalidCertificate|CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSL certificate problem",
        "the certificate of {endpoint} is not trusted; " + _TRUST,
        passing=False,
    ),
    _Sign(
        r"HTTP request (?:was sent )?to (?:an )?HTTPS",
        "{endpoint} speaks TLS: write https:// in {setting}",
        passing=False,
    ),
    _Sign(
        r"dns error|failed to lookup|gaierror|NameResolutionError|Name or service not known|nodename nor servname",
        "the name {host} is not found; check {setting} and the network",
    ),
    _Sign(
        r"ConnectionRefused|Connection refused",
        "nothing listens at {endpoint} (connection refused); check {setting}, or start the server",
    ),
    _Sign(
        r"NetworkUnreachable|HostUnreachable|Network is unreachable|No route to host",
        "there is no way to {host}; check the network",
    ),
    _Sign(
        r"kind:\s+Timeout|TimedOut|timed out|Timeout",
        "no answer from {endpoint}; check {setting} and the network, or raise fetch.timeout",
    ),
)
_TUNNEL: Final = r"TunnelUnsuccessful|Tunnel connection failed|407 Proxy Auth|ProxyConnectionError|proxy URL"


def cause_of_failure(text: str, url: str, service: Service = S3) -> Cause | None:
    """The cause in a client's message for a failed request to `url` of a service, or None."""
    if re.search(r"Too many open files|os error 24\b", text):
        return Cause("too many open files; raise `ulimit -n`, or use fewer threads or a smaller fetch.in_flight", True)
    endpoint, host = endpoint_and_host(url)
    proxy = proxy_of(url)
    sign = next((sign for sign in _SIGNS if re.search(sign.pattern, text)), None)
    if proxy and (re.search(_TUNNEL, text) or (sign and sign.passing)):
        reason = "refuses" if re.search(_TUNNEL, text) and not (sign and sign.passing) else "does not answer"
        name = "HTTPS_PROXY" if endpoint.startswith("https") else "HTTP_PROXY"
        return Cause(f"the proxy {proxy} {reason}; check {name}, or name {host} in NO_PROXY", True)
    bundle = "AWS_CA_BUNDLE" if os.environ.get("AWS_CA_BUNDLE") else service.bundle  # which comes first where both are
    target, names = _redirected_to(text, url), {"setting": service.address, "bundle": bundle}
    if sign and target:
        reason = sign.sentence.format(endpoint=target, host=target, **names)
        return Cause(SENT_ON.format(endpoint=endpoint, reason=reason), sign.passing)
    return sign and Cause(sign.sentence.format(endpoint=endpoint, host=host, **names), sign.passing)


def _redirected_to(text: str, url: str) -> str | None:
    """The address that obstore could not reach, if it is not that of the URL: a server has sent it there."""
    found = re.search(r'"tcp connect error",\s+([\d.]+|\[[\da-f:]+\]):(\d+),', text)
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{found[1]}:{found[2]}" if found and proxy_of(url) is None and int(found[2]) != port else None


def endpoint_and_host(url: str) -> tuple[str, str]:
    """Scheme, host and port of a URL, without user, path and query; and the host alone."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.hostname or ""


@lru_cache(maxsize=64)
def speaks_tls(host: str, port: int) -> bool:
    """True if a server shakes hands for TLS there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return True
    except OSError:
        return False


# --- the environment of all clients -----------------------------------------------------------------------------


def proxies_for(url: str) -> dict[str, str]:
    """The proxy that the environment names for a URL, by the URL's scheme; empty for none."""
    parts = urlsplit(url)
    named = request.getproxies_environment()
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or request.proxy_bypass_environment(  # type: ignore[attr-defined]
        parts.netloc.rpartition("@")[2]
    ):
        return {}
    return {parts.scheme: proxy}


def proxy_of(url: str) -> str | None:
    """The same proxy without its user and password, for messages; None for none."""
    proxy = next(iter(proxies_for(url).values()), None)
    return proxy and re.sub(r"^(\w+://)?[^/@]*@", r"\1", proxy)


def direct_loopback(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables by which no client asks a proxy for this machine; none if no proxy is set."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return {}
    known = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in re.split(r"[,\s]+", known) if host]
    if "*" in hosts:
        return {}
    host = urlsplit(endpoint or "").hostname or ""
    hosts += [own for own in (*_LOOPBACK, *([host] if is_loopback(host) else [])) if own not in hosts]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


def is_loopback(host: str) -> bool:
    """True if a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """The PEM file of trusted authorities that the environment names, for clients that do not look there.

    Raises SourceError if it is not there.
    """
    name = next((name for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE") if environment.get(name)), None)
    if name is None:
        return None
    _refuse_no_bundle(name, environment[name])
    return environment[name]


@cache
def _refuse_no_bundle(name: str, file: str) -> None:
    """Raise SourceError for a file that is no bundle; one that is takes some hundredths of a second to read."""
    if not Path(file).is_file():
        problem = "that is a folder" if Path(file).is_dir() else "there is no such file"
        raise SourceError(f"{name}={file}: {problem}; name a PEM file of certificates")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:  # SSLError too
        raise SourceError(f"{name}={file}: no certificate in it can be read; name a PEM file") from error
