"""`outputs.json`: every file of results with its hash, and the hashes of the values in it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from runner.base.atomic import write_json
from runner.output.digest import FileFacts, ValueFacts
from runner.plan.records import StagePlan

SCHEMA_VERSION = 1


class StageFiles(NamedTuple):
    """A stage and what it has left."""

    stage: StagePlan
    files: list[FileFacts]


def write_outputs(path: Path, stages: Sequence[StageFiles]) -> None:
    """Write what the stages have left. Raises OutputError."""
    files = [_file(stage, file) for stage, files in stages for file in files]
    write_json(path, {"schema": SCHEMA_VERSION, "files": files})


def _file(stage: StagePlan, file: FileFacts) -> dict[str, Any]:
    return {
        "name": file.path.name,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "stage": stage.name,
        "over": stage.over.value,
        "values": [_values(one) for one in file.values],
    }


def _values(one: ValueFacts) -> dict[str, Any]:
    facts = asdict(one)
    return facts | {"min": facts.pop("minimum"), "max": facts.pop("maximum")}
