"""How a run grows: the runner alone over more and more scenes, on one worker and on two.

A run that scales takes the same time for each scene and the same memory however many scenes there are, and half the
time on two workers. Of many scenes few are distinct, to save disk and time; the others are links to them.
"""

import argparse
import json
import shlex
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from contest import Measurement, run_contestant, warm_up
from contestants import Contestant, runner_workers
from report import end_with, machine, markdown, median, spread, versions
from workload import Archive, Server, add_network_options, add_options, network, prepare, served

from runner.base.console import say, tell

COLUMNS = (
    "workers", "scenes", "wall s", "compute s", "CPU s", "peak MB",
    "compute s a scene", "of the fewest scenes", "peak of the fewest", "speed-up",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """So many workers on so many scenes."""

    workers: int
    scenes: int


def main() -> int:
    """Run every case and show the table."""
    options = parse()
    archive = prepare(options.cache, max(options.scenes), options.size, options.distinct)
    cases = [Case(workers, scenes) for workers in options.workers for scenes in sorted(options.scenes)]
    with served(archive, network(options)) as server:
        found = dict(run_cases(cases, options, archive, server))
    title = f"{archive}; {network(options)}; {machine()}; rounds: {options.rounds}; {options.kind}"
    say(f"{title}\n\n{markdown(COLUMNS, [row(case, found) for case in cases])}")
    if options.json:
        runs = [{**asdict(case), "runs": [asdict(one) for one in runs]} for case, runs in found.items()]
        facts = {"title": title, "options": vars(options), "versions": versions(), "cases": runs}
        options.json.write_text(json.dumps(facts, indent=1, default=str) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=_numbers, default=[25, 100, 400], help="how many (default: 25,100,400)")
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="how many (default: 1,2)")
    parser.add_argument("--kind", choices=("threads", "processes"), default="threads", help="default: %(default)s")
    add_options(parser, distinct=20)
    add_network_options(parser)
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    ours = "further overrides, as in 'engine=xarray chunks=row'"
    parser.add_argument("--ours", type=shlex.split, default=[], metavar="OVERRIDES", help=ours)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every measurement here")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def run_cases(
    cases: list[Case], options: argparse.Namespace, archive: Archive, server: Server
) -> Iterator[tuple[Case, list[Measurement]]]:
    """Every case in each round."""
    found: dict[Case, list[Measurement]] = {case: [] for case in cases}
    warm_up([contestant(cases[0], options)], archive, server)
    for _ in range(options.rounds):
        for case in cases:
            found[case].append(run_contestant(contestant(case, options), archive, server, case.scenes))
            tell(f"{case.scenes} scenes, {found[case][-1]}")
    yield from found.items()


def contestant(case: Case, options: argparse.Namespace) -> Contestant:
    """The runner on so many workers."""
    words = (*runner_workers(options.kind, case.workers), *options.ours)
    return Contestant(f"{case.workers} {options.kind}", None, words)


# --- the table ----------------------------------------------------------------------------------------------------


def row(case: Case, found: Mapping[Case, list[Measurement]]) -> list[str]:
    """A case beside that of the fewest scenes on as many workers, and beside as many scenes on the fewest workers."""
    runs = found[case]
    smallest = found[min((other for other in found if other.workers == case.workers), key=lambda one: one.scenes)]
    slowest = found[min((other for other in found if other.scenes == case.scenes), key=lambda one: one.workers)]
    fewest = min(other.scenes for other in found)
    return [
        str(case.workers),
        str(case.scenes),
        spread([one.usage.wall_seconds for one in runs]),
        spread([one.compute_seconds for one in runs]),
        spread([one.usage.cpu_seconds for one in runs]),
        median([one.usage.peak_pss_bytes / 1e6 for one in runs]),
        f"{_compute(runs) / case.scenes:.3f}",
        f"{_compute(runs) / case.scenes / (_compute(smallest) / fewest):.2f}",
        f"{_peak(runs) / _peak(smallest):.2f}",
        f"{_compute(slowest) / _compute(runs):.2f}",
    ]


def _compute(runs: list[Measurement]) -> float:
    return statistics.median(one.compute_seconds for one in runs)


def _peak(runs: list[Measurement]) -> float:
    return statistics.median(one.usage.peak_pss_bytes for one in runs)


if __name__ == "__main__":
    end_with(main)
