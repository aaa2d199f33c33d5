"""ETags: the same version in the forms that servers and proxies give it, and the form to ask for it again."""

import re
from typing import Final

_PARTS: Final = re.compile(r'(?:W/)?"?(.*?)(?:(?:--?|;)(?:gzip|br|deflate|zstd))?"?', re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(r'"[!#-~]+"')  # RFC 9110, section 8.8.3: quoted and strong
_HEX: Final = re.compile(r"[0-9a-f]+(-[0-9]+)?", re.IGNORECASE)  # an MD5, with the number of parts; case is no matter


def same_version(one: str, other: str) -> bool:
    """Compare two ETags by their meaning.

    Weak and strong, quoted and bare, the case of hexadecimal digits, and the ending a server adds for a compressed
    transfer make no difference.
    """
    return one == other or _meaning(one) == _meaning(other)


def if_match(etag: str | None) -> str | None:
    """The ETag as a precondition, or None if servers refuse its form.

    RFC 9110 (section 13.1.1) lets no weak ETag match, and a server does not recognize the ending for a compressed
    transfer that a module or a proxy has added.
    """
    plain = etag is not None and _PLAIN.fullmatch(etag) and _folded(etag.strip('"')) == _meaning(etag)
    return etag if plain else None


def _meaning(etag: str) -> str:
    found = _PARTS.fullmatch(etag.strip())
    return _folded(found[1] if found else etag)


def _folded(tag: str) -> str:
    return tag.lower() if _HEX.fullmatch(tag) else tag
