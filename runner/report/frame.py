"""What the pages of a run and of an archive share: how it ended, its inputs, and its provenance."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from runner.base import humanize
from runner.record.stacks import FOLDER, STACKS
from runner.record.uploaded import UPLOADED, upload_state
from runner.report import environment, headline
from runner.report.picture import VIRIDIS
from runner.report.records import Contents, InputRow

REPORT: Final = "report.html"
_FEW_INPUTS: Final = 60  # a table as long as that is shown at once
_MANY: Final = 64  # sections of configs that are kept
_MOST_DIFF: Final = 65536  # characters


def frame(contents: Contents) -> dict[str, Any]:
    """Everything that base.html.j2 shows, besides the title and the findings."""
    run, code = contents.run, contents.run.record.code
    return {
        "contents": contents,
        "archive": _archive(contents),
        "run": run,
        "status_words": headline.status_words(run),
        "problem": headline.problem(run),
        "remedies": headline.remedies(contents),
        "attempts": headline.attempts(contents),
        "viridis": ", ".join(f"#{colour}" for colour in VIRIDIS),
        **_input_context(contents),
        "config": _yaml(run.record.config),
        "origin": [
            ("Upload", _upload(contents)),
            ("Written into the results", _provenance(contents)),
            *environment.described(run.record),
        ],
        "command": headline.repeat_command(contents) + headline.repeat_note(contents),
        "code": code,
        "diff": (code.diff or "")[:_MOST_DIFF] if code else "",
    }


def _upload(contents: Contents) -> list[tuple[str, str]]:
    """The address of the upload. The page is uploaded itself, and so written before that."""
    upload = upload_state(Path(contents.path), (contents.run.record.config.get("output") or {}).get("upload"))
    if upload is None:
        return []
    later = f"begins when the run is complete; {UPLOADED} beside this page lists the objects once all are verified"
    return [("address", upload.url), ("objects", later if upload.files is None else upload.words)]


def _archive(contents: Contents) -> str:
    """The page of the archive that a stack belongs to, as a link from the stack's own; else an empty text."""
    folder = Path(contents.path).parent
    return f"../../{REPORT}" if folder.name == FOLDER and (folder.parent / STACKS).exists() else ""


def _input_context(contents: Contents) -> dict[str, Any]:
    """The objects: the skipped ones first, else in the table's order; a column for what differs among them only."""
    rows = contents.inputs or []
    prefix = humanize.common_start([row.href for row in rows])
    ordered = sorted(rows, key=lambda row: row.used)
    grids = {row.grid for row in rows if row.grid}
    skipped = sum(not row.used for row in rows)
    differing = [("grid", len(grids) > 1), ("skipped because", skipped > 0)]
    heads = ["key", "date", "size", "ETag", *(head for head, differs in differing if differs)]
    return {
        "prefix": prefix,
        "grid": next(iter(grids), "") if len(grids) == 1 else "",
        "input_heads": heads,
        "inputs": [_input_cells(row, prefix, heads) for row in ordered],
        "skipped": skipped,
        "inputs_open": len(rows) <= _FEW_INPUTS,
        "inputs_size": humanize.size(sum(row.size or 0 for row in rows if row.used)),
    }


def _input_cells(row: InputRow, prefix: str, heads: Sequence[str]) -> list[str]:
    cells = {
        "key": row.href.removeprefix(prefix),
        "date": humanize.day(row.time),
        "size": humanize.size(row.size),
        "ETag": row.etag if len(row.etag) <= 9 else f"{row.etag[:8]}…",
        "grid": row.grid,
        "skipped because": "" if row.used else row.reason or "no reason given",
    }
    return [cells[head] for head in heads]


def _yaml(tree: dict[str, Any]) -> str:
    return "".join(_yaml_section(json.dumps({key: value})) for key, value in tree.items())


@lru_cache(_MANY)
def _yaml_section(plain: str) -> str:
    """A section of a config; most are the same in all stacks of an archive."""
    import yaml  # noqa: PLC0415 - hydra has brought it

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C, if it is there: a tenth of the time
    return str(yaml.dump(json.loads(plain), Dumper=dumper, sort_keys=False, allow_unicode=True, width=110))


def _provenance(contents: Contents) -> list[tuple[str, str]]:
    """The provenance in the first result file that has one."""
    from_tables = [table.provenance for table in contents.tables]
    rasters = [*contents.rasters, *(raster for multiples in contents.multiples for raster in multiples.shown)]
    origin = next((origin for origin in [*from_tables, *(raster.tags for raster in rasters)] if origin), {})
    own = ("stage", "min_count", "weights", "statistic", "units", "AREA_OR_POINT")
    return [(name, text) for name, text in origin.items() if name not in own and not name.startswith("group")]
