"""`cog-stack-runner log`."""

import sys

from runner.base.streams import steady_streams
from runner.host.heap import use_one_heap
from runner.log.cli import main

if __name__ == "__main__":
    use_one_heap()  # before numpy, which verbs import when they need it
    steady_streams()
    sys.exit(main())
