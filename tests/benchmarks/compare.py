"""The whole process beside its peers and the mark: time, CPU, memory, requests and bytes of each, from one run.

Every contestant is a fresh process each time. Within a round they follow one another, and each round begins with the
next of them, so that what else the machine does falls on all.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from contest import Measurement, run_contestant, warm_up
from contestants import GDAL_WITH_MEANS, MARK, NAMES, Contestant, contestants, gdal_version
from measure import ContestantError
from report import end_with, machine, markdown, median, spread, versions
from workload import Archive, Server, Truth, add_network_options, add_options, network, prepare, served, true_means

from runner.base.console import complain, say, tell

Rounds: TypeAlias = list[dict[str, Measurement]]  # one dictionary for each round, by contestant
Figure: TypeAlias = Callable[[Measurement], float]

COLUMNS = (
    "contestant", "wall s", "compute s", "CPU s", "peak MB", "requests", "GB",
    "wall / mark", "compute / mark", "wall / ours", "compute / ours", "means",
)  # fmt: skip


def main() -> int:
    """Make the workload, let them run, show the table; exit code 1 if one fails or its means are wrong."""
    options = parse()
    chosen = contestants(able(options.only, options.gdal_python), options.ours, options.gdal_python)
    archive = prepare(options.cache, options.scenes, options.size, options.distinct)
    truth = true_means(archive)
    with served(archive, network(options)) as server:
        warm_up(chosen, archive, server)
        rounds = run_rounds(chosen, options.rounds, archive, server, truth)
    title = f"{archive}; {network(options)}; {machine()}; rounds: {options.rounds}, shown as median (lowest-highest)"
    say(f"{title}\n\n{markdown(COLUMNS, rows(chosen, rounds))}")
    if options.json:
        options.json.write_text(to_json(title, options, rounds))
    complete = all(len(done) == len(chosen) for done in rounds)
    return 0 if complete and all(one.is_right for done in rounds for one in done.values()) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20, help="how many (default: %(default)s)")
    add_options(parser, distinct=None)
    add_network_options(parser)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    only = f"some of {','.join(NAMES)} (default: all but the last)"
    parser.add_argument("--only", type=_names, default=NAMES[:-1], metavar="NAMES", help=only)
    gdal = f"an interpreter whose rasterio brings GDAL {_dotted(GDAL_WITH_MEANS)}, for the row gdal (default: this one)"
    parser.add_argument("--gdal-python", type=_interpreter, default=sys.executable, metavar="PATH", help=gdal)
    ours = "a further row of ours, with these overrides, as in --ours 'engine=xarray chunks=row'; repeat for more"
    parser.add_argument("--ours", action="append", default=[], metavar="OVERRIDES", help=ours)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every measurement here")
    return parser.parse_args()


def _interpreter(text: str) -> str:
    """Its absolute path, since contestants run in folders of their own. Links stay: one makes a virtual environment."""
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"no program {text}")
    return str(Path(found).absolute())


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} unknown; there are {', '.join(NAMES)}")
    return names


def able(names: Sequence[str], gdal_python: str) -> list[str]:
    """The names without gdal where it has no means, which is reported. Raises ContestantError if none is left."""
    try:
        if "gdal" in names and (version := gdal_version(gdal_python)) < GDAL_WITH_MEANS:
            needed = _dotted(GDAL_WITH_MEANS)
            raise ContestantError(
                f"{gdal_python} has GDAL {_dotted(version)}, its means need {needed}; see --gdal-python"
            )
    except ContestantError as error:
        complain(f"gdal is skipped: {error}")
        names = [name for name in names if name != "gdal"]
    if not names:
        raise ContestantError("no row is left")
    return [*names]


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def run_rounds(
    chosen: Sequence[Contestant], number: int, archive: Archive, server: Server, truth: Truth
) -> list[dict[str, Measurement]]:
    """Let all run `number` times. One that fails is told of and misses from its round and those after it."""
    rounds: Rounds = []
    failed: set[str] = set()
    for start in range(number):
        rounds.append({})
        for at in range(len(chosen)):
            contestant = chosen[(start + at) % len(chosen)]
            if contestant.name in failed:
                continue
            try:
                rounds[-1][contestant.name] = run_contestant(contestant, archive, server, archive.spec.scenes, truth)
            except ContestantError as error:
                failed.add(contestant.name)
                complain(f"{contestant.name}: {error}")
            else:
                tell(f"round {start + 1}, {rounds[-1][contestant.name]}")
    return rounds


# --- the table ----------------------------------------------------------------------------------------------------


def rows(chosen: Sequence[Contestant], rounds: Rounds) -> list[list[str]]:
    """One row for each contestant, in the order of COLUMNS."""
    return [_row(contestant, rounds) for contestant in chosen]


def _row(contestant: Contestant, rounds: Rounds) -> list[str]:
    name = contestant.name
    mine = [done[name] for done in rounds if name in done]
    if len(mine) < len(rounds):
        return [name, "failed", *[""] * (len(COLUMNS) - 2)]
    return [
        name,
        spread([_wall(one) for one in mine]),
        spread([_compute(one) for one in mine]),
        spread([one.usage.cpu_seconds for one in mine]),
        median([one.usage.peak_pss_bytes / 1e6 for one in mine]),
        median([one.requests for one in mine]),
        median([one.received_bytes / 1e9 for one in mine], 2),
        *(_ratio(name, other, figure, rounds) for other in (MARK, "ours") for figure in (_wall, _compute)),
        _verdict(contestant, mine),
    ]


def _wall(one: Measurement) -> float:
    return one.usage.wall_seconds


def _compute(one: Measurement) -> float:
    return one.compute_seconds


def _ratio(name: str, other: str, figure: Figure, rounds: Rounds) -> str:
    """The median over the rounds of the ratio within a round; empty if the other does not take part."""
    ratios = [figure(done[name]) / figure(done[other]) for done in rounds if {name, other} <= done.keys()]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def _verdict(contestant: Contestant, mine: Sequence[Measurement]) -> str:
    if contestant.masks is None:
        return "none"
    verdict = "right" if all(one.is_right for one in mine) else "WRONG"
    return verdict if contestant.spatial else f"temporal alone: {verdict}"


def to_json(title: str, options: argparse.Namespace, rounds: Rounds) -> str:
    """Every measurement, with what they were made on."""
    facts = {
        "title": title,
        "options": vars(options),
        "versions": versions(),
        "gdal": _dotted(gdal_version(options.gdal_python)) if "gdal" in rounds[0] else None,
        "rounds": [[asdict(one) for one in done.values()] for done in rounds],
    }
    return json.dumps(facts, indent=1, default=str) + "\n"


if __name__ == "__main__":
    end_with(main)
