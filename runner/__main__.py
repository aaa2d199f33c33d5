"""`cog-stack-runner`, or `python -m runner`; `log VERB` looks at runs, `schema` prints a JSON schema for editors."""

import sys

from runner.base.streams import steady_streams
from runner.host.ending import ending_at_once
from runner.host.garbage import collect_as_usual, collect_seldom
from runner.host.heap import use_one_heap
from runner.host.libraries import spare_boto3, spare_threads_of_blas
from runner.host.open_files import allow_many_files


def main() -> int:
    """As `runner.cli.main`. Threads may outlive it, such as one that compiles; a signal then ends the process."""
    use_one_heap()
    allow_many_files()
    steady_streams()
    collect_seldom()
    spare_boto3()
    spare_threads_of_blas()
    code = _run_or_look()
    from runner.host.signals import end_on_signals  # noqa: PLC0415 - `_run_or_look` says which imports come first

    sys.stdout.flush()
    end_on_signals()
    return code


def _run_or_look() -> int:
    """As the words say. Libraries are imported here: they start threads, and a thread keeps the heap it began with."""
    if sys.argv[1:2] == ["log"]:
        from runner.log.cli import main as look  # noqa: PLC0415 - verbs spare what a run imports

        collect_as_usual()
        return look(sys.argv[2:])
    if sys.argv[1:2] == ["schema"]:
        from runner.config.schema import main as show_schema  # noqa: PLC0415 - as it says

        return show_schema(sys.argv[2:])
    from runner.cli import main as run  # noqa: PLC0415 - as it says

    return run()


def command() -> None:
    """End the process by what `main` returns."""
    end_with = ending_at_once()
    code = main()
    end_with(code)
    sys.exit(code)


if __name__ == "__main__":
    command()
