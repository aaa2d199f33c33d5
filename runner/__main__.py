"""`python -m runner`."""

import sys

from runner.heap import use_one_heap


def main() -> int:
    """As `runner.cli.main`, which is imported last: threads that libraries start have their heap from then on."""
    use_one_heap()
    from runner.cli import main as run  # noqa: PLC0415 - as it says

    return run()


if __name__ == "__main__":
    sys.exit(main())
