"""`join`: the shards of an archive brought together in one folder, with tables and a page of all."""

import os
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from runner.base.console import tell
from runner.base.humanize import listed, plural
from runner.errors import RecordError, expanded
from runner.log.restart import restarted_run
from runner.log.verb import Verb, add_outputs
from runner.record.lock import held
from runner.record.recorded_outlines import recorded_outlines
from runner.record.run_folder import RunFolder, choose_run, read_run
from runner.record.stacks import FOLDER
from runner.settings.archive import parse_shard

_MOST_NAMED: Final = 8
_EXAMPLES = """\
examples
  cog-stack-runner log join outputs/whole outputs/shard_*

Runs with archive.shard=1/16 to 16/16 each leave a folder. Their stacks are moved into FOLDER, which becomes a run of
the whole archive: with stacks.parquet, the tables and the report of all. What no shard has completed is run there, as
by resume; a join that was stopped goes on when it is called again. The folders of the shards keep their logs.
Exit code: 0 done, 1 a stack failed, 2 the shards do not belong together, or not all of them are named."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where the whole archive is to lie")
    parser.add_argument("shards", metavar="SHARD", nargs="+", help="every shard: its folder, or a part of its name")
    add_outputs(parser)


def _run(options: Namespace) -> int:
    from runner.archive.story import run_archive  # noqa: PLC0415 - all that a run imports, which other verbs spare

    folder = expanded(str(options.folder)).absolute()
    shards = [choose_run(word, options.outputs) for word in options.shards]
    _refuse_strangers(shards)
    with ExitStack() as locks:
        for shard in shards:
            locks.enter_context(held(shard.path))
        joined = (folder / "run.json").exists()
        if joined:
            locks.enter_context(held(folder))
        earlier = read_run(folder) if joined else shards[0]
        overrides = [] if joined else ["archive.shard=null", f"output.dir={folder}"]
        with restarted_run(earlier, overrides, folder, resumed=joined) as (job, record):
            moved = sum(1 for shard in shards for _ in _moved(shard.path / FOLDER, folder / FOLDER))
            tell(f"{plural(moved, 'stack')} of {plural(len(shards), 'shard')} moved to {options.folder}")
            run_archive(job, record)
    return 0


def _moved(source: Path, target: Path) -> Iterator[Path]:
    """Move the stacks of a shard; each has one shard alone, so that none is in the way of another."""
    target.mkdir(exist_ok=True)
    for stack in sorted(source.iterdir()) if source.is_dir() else ():
        if (target / stack.name).exists():
            raise RecordError(f"{target / stack.name} exists already, and so does {stack}; remove one of them")
        try:
            stack.rename(target / stack.name)
        except OSError:  # of another file system
            aside = target / f".{stack.name}.part{os.getpid()}"
            shutil.copytree(stack, aside, symlinks=True)
            aside.rename(target / stack.name)
            shutil.rmtree(stack)
        yield stack


def _refuse_strangers(shards: Sequence[RunFolder]) -> None:
    """Raise RecordError unless these are all shards of one archive, and none of them runs."""
    numbers: dict[int, Path] = {}
    for shard in shards:
        share = parse_shard(str((shard.config.get("archive") or {}).get("shard")))
        if share is None:
            raise RecordError(f"{shard.path} is not a shard: it was run without archive.shard")
        if shard.status == "RUNNING":
            raise RecordError(f"{shard.path} is running, as process {shard.record.pid} on {shard.record.host}; wait")
        if _common(shard.config) != _common(shards[0].config):
            raise RecordError(f"{shard.path} and {shards[0].path} were run with other settings; log diff shows which")
        _refuse_other_polygons(shard, shards[0])
        if share[0] in numbers:
            raise RecordError(f"{shard.path} and {numbers[share[0]]} are both shard {share[0]}/{share[1]}; name one")
        numbers[share[0]] = shard.path
    total = _total(shards[0])
    missing = [f"{number}/{total}" for number in range(1, total + 1) if number not in numbers]
    if missing:
        names = listed(missing, _MOST_NAMED)
        raise RecordError(f"{len(missing)} of {total} shards are missing: {names}; run them, and name all")


def _refuse_other_polygons(shard: RunFolder, first: RunFolder) -> None:
    """Raise RecordError for shards that found other polygons in the files of source.area or zones.file."""
    for setting, before, now in recorded_outlines(shard).changed_since(recorded_outlines(first)):
        raise RecordError(
            f"{shard.path} and {first.path} found other polygons in {setting} (SHA-256 {now[:16]}, {before[:16]}); run "
            "one of them anew"
        )


def _total(shard: RunFolder) -> int:
    share = parse_shard(shard.config["archive"]["shard"])
    assert share is not None  # it has been checked
    return share[1]


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    """What all shards have: all but their number, their folder, and where they ran."""
    archive = config.get("archive") or {}
    return {
        **{key: value for key, value in config.items() if key not in ("archive", "output")},
        "output": {key: value for key, value in config["output"].items() if key != "dir"},
        "shards": str(archive.get("shard")).rpartition("/")[2],
    }


VERB = Verb("join", "bring the shards of an archive together in one folder", _EXAMPLES, _arguments, _run)
