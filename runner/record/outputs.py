"""`outputs.json`: every result file with its hash, and the hashes of the values in it."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import msgspec

from runner.base.atomic import write_json
from runner.output.digest import FileFacts
from runner.planning.records import Layer, StagePlan
from runner.record.run_files import OutputFile, Outputs, StoredValues


class StageFiles(NamedTuple):
    """A stage and the files it has left."""

    stage: StagePlan
    files: list[FileFacts]

    @property
    def layers(self) -> list[tuple[FileFacts, list[Layer]]]:
        """The files, each with the layers that its values are."""
        layers = iter(self.stage.layers)
        return [(file, [next(layers) for _ in file.values]) for file in self.files]


def write_outputs(path: Path, stages: Sequence[StageFiles]) -> None:
    """Write the files that the stages have left. Raises OutputError."""
    outputs = Outputs(files=tuple(_file(one.stage, *file) for one in stages for file in one.layers))
    write_json(path, msgspec.to_builtins(outputs))


def _file(stage: StagePlan, file: FileFacts, layers: Sequence[Layer]) -> OutputFile:
    labels = [layer.label if stage.groups else msgspec.UNSET for layer in layers]
    values = tuple(StoredValues(*astuple(facts), group=of) for facts, of in zip(file.values, labels, strict=True))  # type: ignore[misc]
    return OutputFile(file.path.name, file.bytes, file.sha256, stage.name, stage.over.value, values)
