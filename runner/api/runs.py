"""Runs from Python: one that is run now, or one that is in its folder."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from markupsafe import Markup, escape

from runner.api.driver import driven
from runner.api.named import ByName
from runner.api.rasters import open_bands, rasters_of
from runner.api.words import Overrides, words_of
from runner.base.humanize import listed, plural, relative_path, seconds, size
from runner.errors import ConfigError, RecordError
from runner.record.run import Run as Record
from runner.record.run_files import OutputFile
from runner.record.run_folder import RunFolder, choose_run, read_run
from runner.record.stacks import FOLDER, read_stacks

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_OUTPUTS: Final = Path("outputs")  # below which `open_run` looks for a name
_REPORT: Final = "report.html"
_PAGE_HEIGHT: Final = 700  # of a report in a notebook, in pixels
_MOST_NAMED: Final = 5

Opened = TypeVar("Opened")


def run(overrides: Overrides = (), *, progress: bool = True, **settings: object) -> "Run":
    """Run a job as `cog-stack-runner` does with the same overrides, and return it once it is complete.

    `overrides` are words as on the command line, without a shell's quotes: `["source=local",
    "source.url=/data/**/*.tif"]`; or a dict of keys and values: `{"source": "local", "source.limit": 3}`. Keywords set
    keys without dots: `chunks="row"`. The folder is a new one below outputs/, unless `output.dir` names another.
    Without `progress` nothing is printed.

    It works in a cell of a notebook and in any thread; of several calls at a time, one after the other runs. An
    interrupt stops the run in order, and KeyboardInterrupt is raised.

    Raises ConfigError for a wrong setting, and another RunnerError of `runner.errors` for a run that fails:
    SourceError, PlanError, ClusterError, ReadError, ArchiveError, OutputError. Its notes name the report and say how to
    go on.
    """
    words = words_of(overrides, settings)

    def work() -> Path:
        from runner.config.composed import compose_job  # noqa: PLC0415 - Hydra, which an opened run spares
        from runner.settings import Action  # noqa: PLC0415 - as above
        from runner.start import run_composed  # noqa: PLC0415 - as above

        composed = compose_job(words)
        if composed.job.action is not Action.run:
            raise ConfigError(f"action={composed.job.action.value}: wanted run; runner.plan([...]) gives the plan")
        return run_composed(composed)

    return Run(read_run(driven(work, progress=progress)))


def open_run(folder: str | Path) -> "Run":
    """A run that is in its folder, of the command line or of Python, however it ended.

    `folder` is a path; or `last`, or what only one run below outputs/ has in its name. Raises RecordError.
    """
    return Run(choose_run(str(folder), _OUTPUTS))


class Run:
    """A run in its folder. Results are read when they are asked for.

    A run that is not complete has no results; asking for them raises RecordError.
    """

    def __init__(self, read: RunFolder) -> None:
        self._read = read

    @property
    def folder(self) -> Path:
        """The folder with its results and their record."""
        return self._read.path.absolute()

    @property
    def status(self) -> str:
        """COMPLETED, FAILED, INTERRUPTED, RUNNING or KILLED, when the run was opened."""
        return self._read.status

    @property
    def record(self) -> Record:
        """What run.json says: the config, the stack, the passes with their bytes, seconds and memory."""
        return self._read.record

    @property
    def report(self) -> "Report":
        """The page of the run."""
        return Report(self.folder / _REPORT)

    @property
    def table(self) -> "pd.DataFrame":
        """The table of the only stage over space: a row for each scene, in their order.

        Its columns are `scene`, `datetime` (UTC), named groups, and a column for each statistic, such as `mean`, in the
        unit of the pixels, NaN where missing. Of an archive, the rows of all stacks. Raises RecordError if there is
        no such stage, or more than one: `tables` has them all.
        """
        return self._only(self.tables, "table", "stage over space")

    @cached_property
    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables by their stages, as in `table`.

        Raises RecordError for a file that is missing or damaged, and for the name of no table.
        """
        import pandas as pd  # noqa: PLC0415 - half a second that a run without a table spares

        tables = {path.stem: self._opened(path, pd.read_parquet) for path in self._results(".parquet")}
        return ByName(tables, "table", self._read.path)

    @cached_property
    def rasters(self) -> "xr.Dataset":
        """The rasters: a variable (y, x) for each statistic, by the name that its file has, such as `temporal_mean`.

        The groups of a stage are one variable along its groups: `monthly_mean` has (year_month, y, x). They are the
        same for files as for bands of one file (`output.layout`). Lazy, as dask arrays of the files'
        types, with NaN where missing and with CRS and transform (`.rio`). Raises RecordError for an archive, whose
        `stacks` have rasters, and for a file that is missing or damaged.
        """
        if self.record.is_archive:
            raise RecordError(f"{self._read.path} is an archive: its rasters are those of its stacks, stacks[NAME]")
        self._results(".tif")  # which refuses a run without results
        stages = self.record.config.get("stages") or {}
        return rasters_of(self._read.outputs(), stages, lambda name: self._opened(self.folder / name, open_bands))

    @cached_property
    def stacks(self) -> "dict[str, Run]":
        """The runs of an archive's stacks by name, of those that have begun.

        Raises RecordError for any other run, and for the name of no such stack.
        """
        if not self.record.is_archive:
            raise RecordError(f"{self._read.path} is a run of one stack; source.stack_by parts an archive into several")
        folder = self.folder / FOLDER
        names = [row.stack for row in read_stacks(self.folder)]
        runs = {name: Run(read_run(folder / name)) for name in names if (folder / name / "run.json").is_file()}
        return ByName(runs, "stack", self._read.path, frozenset(names) - runs.keys())

    def _results(self, ending: str) -> list[Path]:
        """Files of results. Raises RecordError if the run left none."""
        if self.record.is_archive:
            names = [name for name in self.record.outputs if name != "stacks.parquet"]
        elif self.status != "COMPLETED":
            raise RecordError(f"{self._read.path} is {self.status} and has no results{self._reason}")
        else:
            names = list(map(_name, self._read.outputs()))
        return [self.folder / name for name in names if name.endswith(ending)]

    @property
    def _reason(self) -> str:
        return f": {self._read.error}" if self._read.error else ""

    def _opened(self, path: Path, opened: Callable[[Path], Opened]) -> Opened:
        try:
            return opened(path)
        except FileNotFoundError as error:
            raise RecordError(f"{path} is missing: it was removed after the run") from error
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} cannot be read: {error}; it was cut off or altered") from error

    def _only(self, results: Mapping[str, Opened], kind: str, wanted: str) -> Opened:
        if len(results) == 1:
            return next(iter(results.values()))
        got = f"{len(results)} of them ({listed([*results], _MOST_NAMED)}), each in {kind}s" if results else "none"
        raise RecordError(f"{self._read.path}: wanted one {wanted} for {kind}, got {got}")

    @property
    def _facts(self) -> list[tuple[str, str]]:
        run, fetched = self.record, self.record.fetched
        scenes = "" if run.scenes is None else plural(run.scenes, "scene")
        stacks = "" if run.archive is None else f" in {plural(run.archive.stacks, 'stack')}"
        facts = [
            ("status", f"{self.status}{self._reason}"),
            ("scenes", f"{scenes}{stacks}"),
            ("time", seconds(self._read.seconds)),
            ("fetched", size(fetched.bytes) if fetched else ""),
            ("results", ", ".join(run.outputs)),
            ("folder", relative_path(self.folder)),
        ]
        return [(name, fact) for name, fact in facts if fact]

    def __repr__(self) -> str:
        return "\n".join([f"Run {self.record.stack_name}", *(f"  {name:8} {fact}" for name, fact in self._facts)])

    def _repr_html_(self) -> str:
        """A small table with a link to the report."""
        rows = Markup().join(
            Markup("<tr><th style='text-align:left'>{}</th><td style='text-align:left'>{}</td></tr>").format(*fact)
            for fact in self._facts
        )
        link = self.report.link if self.report.path.is_file() else ""
        return Markup("<div><b>{}</b> {}<table>{}</table></div>").format(self.record.stack_name, link, rows)


def _name(output: OutputFile) -> str:
    return output.name


class Report:
    """The page of a run, one file that loads nothing. A path; in a notebook it shows the page."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Report({relative_path(self.path)!r})"

    @property
    def link(self) -> Markup:
        """The link to the file, from a notebook in the current folder."""
        return Markup("<a href='{}' target='_blank'>report</a>").format(relative_path(self.path))

    def _repr_html_(self) -> str:
        """The page in a frame. Raises RecordError if it was removed."""
        if not self.path.is_file():
            raise RecordError(f"{self.path} is missing: the run has not ended, or the report was removed")
        page = self.path.read_text("utf-8")
        return Markup("{}<iframe srcdoc='{}' style='width:100%;height:{}px;border:0'></iframe>").format(
            self.link, escape(page), _PAGE_HEIGHT
        )
