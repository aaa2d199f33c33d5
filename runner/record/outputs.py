"""`outputs.json`: every result file with its hash, and the hashes of the values in it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from runner.base.atomic import written_aside
from runner.base.redact import redact_tree
from runner.output.digest import FileFacts, ValueFacts
from runner.plan.records import StagePlan
from runner.record.run_files import OutputFile, Outputs, StoredValues


class StageFiles(NamedTuple):
    """A stage and the files it has left."""

    stage: StagePlan
    files: list[FileFacts]


def write_outputs(path: Path, stages: Sequence[StageFiles]) -> None:
    """Write the files that the stages have left. Raises OutputError."""
    outputs = Outputs(files=tuple(_file(stage, file) for stage, files in stages for file in files))
    text = json.dumps(redact_tree(msgspec.to_builtins(outputs)), indent=1)
    with written_aside(path) as aside:
        aside.write_text(text + "\n", "utf-8")


def _file(stage: StagePlan, file: FileFacts) -> OutputFile:
    values = tuple(map(_values, file.values))
    return OutputFile(file.path.name, file.bytes, file.sha256, stage.name, stage.over.value, values)


def _values(one: ValueFacts) -> StoredValues:
    return StoredValues(one.name, one.sha256, one.dtype, one.shape, one.nodata, one.count, one.minimum, one.maximum)
