"""`cog-stack-runner`, or `python -m runner`; `log VERB` looks at runs, `schema` prints a JSON schema for editors."""

import atexit
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from runner.base.streams import steady_streams
from runner.host.ending import ending_at_once, quiet_interrupts
from runner.host.garbage import collect_as_usual, collect_seldom
from runner.host.heap import use_one_heap
from runner.host.libraries import spare_boto3, spare_threads_of_blas
from runner.host.open_files import allow_many_files

_STOPPED: Final = 128  # and the number of a signal


def main() -> int:
    """As `runner.cli.main`. Threads may outlive it, such as one that compiles; a signal then ends the process."""
    with quiet_interrupts():
        use_one_heap()
        allow_many_files()
        steady_streams()
        collect_seldom()
        spare_boto3()
        spare_threads_of_blas()
        run_or_look = _imported()
    code = run_or_look()
    from runner.host.signals import end_on_signals  # noqa: PLC0415 - `_imported` says which imports come first

    sys.stdout.flush()
    end_on_signals()
    return code


def _imported() -> Callable[[], int]:
    """What the words ask for. Libraries are imported here: they start threads, which keep the heap they began with."""
    if sys.argv[1:2] == ["log"]:
        from runner.log.cli import main as look  # noqa: PLC0415 - verbs spare what a run imports

        collect_as_usual()
        return partial(look, sys.argv[2:])
    if sys.argv[1:2] == ["schema"]:
        from runner.config.schema import main as show_schema  # noqa: PLC0415 - as it says

        return partial(show_schema, sys.argv[2:])
    from runner.cli import main as run  # noqa: PLC0415 - as it says

    return run


def command() -> None:
    """End the process by what `main` returns."""
    end_with = ending_at_once()
    code = main()
    end_with(code)
    if code > _STOPPED:
        atexit._run_exitfuncs()  # noqa: SLF001 - without waiting for a thread that GDAL holds in a request
    sys.exit(code)


if __name__ == "__main__":
    command()
