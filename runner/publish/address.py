"""The address of an upload: a bucket and a prefix."""

from typing import Final, NamedTuple

from runner.errors import ConfigError, printable

SCHEMES: Final = ("s3", "gs", "az")
ACCESS: Final = ("output.s3.", "output.gcs.", "output.azure.", "fetch.")  # settings by which a bucket is reached


class Address(NamedTuple):
    """A scheme, a bucket, and a prefix without a slash at its end, which may be empty."""

    scheme: str
    bucket: str
    prefix: str


def address_of(url: str, key: str = "output.upload") -> Address:
    """Split an address. Raises ConfigError, which names the `key` it is from, for one that nothing can lie below."""
    scheme, mark, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if not mark or scheme not in SCHEMES or not bucket or set("@:?#*") & set(bucket):
        raise ConfigError(f"{key}={printable(url)}: wanted s3://BUCKET/PREFIX, or gs:// or az:// in place of s3://")
    if (prefix and {"", ".", ".."} & set(prefix.split("/"))) or set("?#*") & set(prefix) or not prefix.isprintable():
        raise ConfigError(f"{key}={printable(url)}: wanted a prefix without empty or dotted parts, and without *, ?, #")
    return Address(scheme, bucket, prefix)


def is_address(word: str) -> bool:
    """Tell if a word of the command line is such an address, and no path."""
    return word.partition("://")[0] in SCHEMES and "://" in word
