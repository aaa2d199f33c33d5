"""`python -m runner.log`."""

import sys

from runner.log.cli import main

if __name__ == "__main__":
    sys.exit(main())
