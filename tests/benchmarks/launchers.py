"""Two jobs of equal settings, under Hydra's own launcher and under ours: which of them is the faster?

Hydra's basic launcher runs all jobs in one process: the first pays for loading kernels and for what is imported while
it runs, and the second finds them there. Under `isolated` each job has a process of its own, so that only noise is
between them. The demo archive is used, and seconds are those of the runs' own records.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from report import end_with, machine, markdown, spread

from runner.base.console import say, tell
from runner.record.run_folder import find_runs, readable

COLUMNS = ("launcher", "first job s", "second job s", "second / first")
EQUAL = ("on_error=skip", "max_skipped=0,1")  # two settings, of which nothing follows where no scene is skipped


def main() -> int:
    """Sweep by each launcher in turn, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {"basic": [], "isolated": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for launcher, found in seconds.items():
                found.append(sweep(launcher, Path(folder) / f"{launcher}-{number}"))
                tell(f"round {number + 1}, {launcher}: {found[-1][0]:.2f} s, then {found[-1][1]:.2f} s")
    say(f"{machine()}; rounds: {options.rounds}\n")
    say(markdown(COLUMNS, [row(*each) for each in seconds.items()]))
    return 0


def sweep(launcher: str, folder: Path) -> tuple[float, float]:
    """Seconds of the job that ran first, and of the other."""
    words = ["-m", f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}", *EQUAL]
    subprocess.run([sys.executable, "-m", "runner", *words], check=True, capture_output=True)
    first, second = sorted(readable(find_runs(folder)), key=lambda run: run.started)
    return first.seconds or 0.0, second.seconds or 0.0


def row(launcher: str, found: list[tuple[float, float]]) -> tuple[str, ...]:
    """A line of the table."""
    first, second = zip(*found, strict=True)
    ratios = [later / earlier for earlier, later in found]
    return launcher, spread(first, 2), spread(second, 2), spread(ratios, 2)


if __name__ == "__main__":
    end_with(main)
