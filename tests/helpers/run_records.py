"""What the folder of a run says of it: run.json and outputs.json, read as plain JSON."""

import json
from pathlib import Path
from typing import Any


def facts_of(folder: Path) -> dict[str, Any]:
    """run.json."""
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return facts


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each statistic's values, by file and name."""
    files = json.loads((folder / "outputs.json").read_text())["files"]
    return {f"{file['name']}: {one['name']}": one["sha256"] for file in files for one in file["values"]}


def fetched(folder: Path) -> int:
    """The bytes that all passes fetched."""
    return sum(one["fetched"]["bytes"] for one in facts_of(folder)["passes"])
