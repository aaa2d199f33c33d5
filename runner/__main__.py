"""`python -m runner`."""

import sys

from runner.heap import use_one_heap
from runner.streams import steady_streams


def main() -> int:
    """As `runner.cli.main`, imported last: libraries start threads, and a thread keeps the heap that it began with."""
    use_one_heap()
    steady_streams()
    from runner.cli import main as run  # noqa: PLC0415 - as it says

    return run()


if __name__ == "__main__":
    sys.exit(main())
