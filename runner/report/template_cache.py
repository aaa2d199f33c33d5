"""The page's template as Python compiled it, kept beside it as Python keeps its modules."""

import hashlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from runner.base.atomic import renamed_at_end

_FOLDER: Final = "__pycache__"
_DIGEST_BYTES: Final = 32


class TemplateCache(BytecodeCache):
    """Compiled templates of a folder. Where they cannot be kept, each process compiles for itself.

    jinja2 compares the source and its own version, and compiles what has changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill the bucket, if there is something for it."""
        with suppress(OSError):
            kept = self._file(bucket).read_bytes()
            if _digest(kept[_DIGEST_BYTES:]) == kept[:_DIGEST_BYTES]:  # or Python would run what is damaged
                bucket.bytecode_from_string(kept[_DIGEST_BYTES:])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what the bucket holds, if the disk takes it."""
        if sys.dont_write_bytecode:
            return
        code = bucket.bytecode_to_string()
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            with renamed_at_end(self._file(bucket)) as aside:
                aside.write_bytes(_digest(code) + code)

    def _file(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}.jinja"


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()
