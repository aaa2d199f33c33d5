"""A run with its record and its page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.base.console import tell
from runner.base.humanize import relative_path
from runner.record.recorded_run import recorded_run
from runner.record.run_record import Overviews, RunRecord


@contextmanager
def reported_run(folder: Path, *facts: Any, **more: Any) -> Iterator[RunRecord]:
    """A run recorded as by `recorded_run`, whose page is named at its end, or in a note on the error that ends it."""
    report, begun = folder / "report.html", False
    try:
        with recorded_run(folder, *facts, **more) as record:
            begun, record.last_act = True, _write_page
            yield record
    except BaseException as error:
        if begun and report.is_file():
            notes = getattr(error, "__notes__", [])  # how to go on comes last
            error.__notes__ = [f"report: {relative_path(report)}", *notes]
        raise
    if report.is_file():
        tell(f"report: {relative_path(report)}")


def _write_page(folder: Path, overviews: Overviews) -> None:
    from runner.report.page import write_report  # noqa: PLC0415 - a run's start does not need it

    write_report(folder, overviews)
