"""A login for a STAC API or catalog, from a variable of the environment; it is sent to one host and written nowhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from runner.errors import ConfigError

LOGIN_HINT: Final = (
    "for an API or a catalog that wants a login, put a token into a variable of the environment, and name it as "
    "source.stac.login_from=STAC_TOKEN"
)


@dataclass(frozen=True, slots=True)
class Login:
    """Headers for the requests to one host."""

    origin: tuple[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Login({'://'.join(self.origin)})"

    @classmethod
    def of(cls, url: str, variable: str | None) -> Self | None:
        """The login that a variable holds: a bearer token, or lines of headers. None without a variable.

        Raises ConfigError for a variable that is not set, or whose headers are none.
        """
        if variable is None:
            return None
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ConfigError(f"source.stac.login_from={variable}: the environment has no such variable; set it")
        headers = dict(map(_header, value.splitlines())) if ":" in value else {"Authorization": f"Bearer {value}"}
        if not all(name.isascii() and name and text.isascii() and text for name, text in headers.items()):
            raise ConfigError(
                f"source.stac.login_from={variable}: wanted a token in it, or lines of headers, each NAME: VALUE"
            )
        return cls(origin_of(url), headers)

    def headers_for(self, url: str) -> Mapping[str, str]:
        """The headers for a request; none if it goes elsewhere."""
        return self.headers if origin_of(url) == self.origin else {}


def _header(line: str) -> tuple[str, str]:
    name, _, text = line.partition(":")
    return name.strip(), text.strip()


def origin_of(url: str) -> tuple[str, str]:
    """The scheme, host and port of a web address."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()
