"""`python -m runner` with the words of this command, and a file `usage`: CPU seconds and peak bytes of it alone."""

import resource
import sys
from pathlib import Path

from runner.cli import main
from runner.host.memory import peak_bytes

if __name__ == "__main__":
    code = main()
    own = resource.getrusage(resource.RUSAGE_SELF)
    Path("usage").write_text(f"{own.ru_utime + own.ru_stime} {peak_bytes()}")
    sys.exit(code)
