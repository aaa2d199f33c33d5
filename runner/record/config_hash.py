"""The hash of a config, by which runs of the same job are known."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from runner.base.redact import redact_tree

_PLACES: Final = ("dir", "upload", "s3", "gcs", "azure")  # settings of output that say where results go


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of a config, the same wherever its results go, and whatever it reuses.

    It is of its JSON, sorted and without blanks or secrets.
    """
    output = {key: value for key, value in config.get("output", {}).items() if key not in _PLACES}
    others = {key: value for key, value in config.items() if key != "reuse"}
    plain = redact_tree({**others, "output": output})
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
