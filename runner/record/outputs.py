"""`outputs.json`: every result file with its hash, and the hashes of the values in it."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import msgspec

from runner.base.atomic import write_json
from runner.output.digest import FileFacts
from runner.planning.records import StagePlan
from runner.record.run_files import OutputFile, Outputs, StoredValues


class StageFiles(NamedTuple):
    """A stage and the files it has left."""

    stage: StagePlan
    files: list[FileFacts]


def write_outputs(path: Path, stages: Sequence[StageFiles]) -> None:
    """Write the files that the stages have left. Raises OutputError."""
    outputs = Outputs(files=tuple(_file(stage, file) for stage, files in stages for file in files))
    write_json(path, msgspec.to_builtins(outputs))


def _file(stage: StagePlan, file: FileFacts) -> OutputFile:
    values = tuple(StoredValues(*astuple(facts)) for facts in file.values)
    return OutputFile(file.path.name, file.bytes, file.sha256, stage.name, stage.over.value, values)
