"""Compiled templates, kept where Python keeps compiled modules: to compile one takes a fiftieth of a second."""

import sys
from contextlib import suppress
from importlib.util import cache_from_source
from io import BytesIO
from pathlib import Path

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from runner.base.atomic import renamed_at_end


class TemplateCache(BytecodeCache):
    """Files in a `__pycache__`. Where they cannot be read or written, templates are compiled each time."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the bucket its code, if it is there for this very source."""
        with suppress(Exception):  # unpickling garbage may raise anything
            bucket.load_bytecode(BytesIO(_file(bucket).read_bytes()))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a bucket, unless Python is told to keep none."""
        if not sys.dont_write_bytecode:
            with suppress(OSError), renamed_at_end(_file(bucket)) as aside:
                aside.write_bytes(bucket.bytecode_to_string())


def _file(bucket: Bucket) -> Path:
    return Path(cache_from_source(str(Path(__file__).with_name(f"template_{bucket.key}.py"))))
