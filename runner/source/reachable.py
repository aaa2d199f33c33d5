"""Sources made reachable: the demo archive is made and served, and all clients take the same way to a store."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from runner.base.console import progress_bar
from runner.read.gdal_environment import gdal_environment
from runner.settings import JobSettings, SourceKind
from runner.source.stores import network_environment


@contextmanager
def opened_source(
    job: JobSettings, phase: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
) -> Iterator[JobSettings]:
    """The job with a source that can be reached. The demo archive is made, in the `phase` archive, and served."""
    if job.source.kind is not SourceKind.demo:
        with gdal_environment(network_environment(job.source.s3)):
            yield job
        return
    from runner.demo.archive import default_cache_dir, ensure_archive  # noqa: PLC0415 - for the demo only
    from runner.demo.server import serve  # noqa: PLC0415 - for the demo only

    with phase("archive"), progress_bar("demo archive") as progress:
        root = ensure_archive(default_cache_dir(), progress=progress)
    with serve(root) as endpoint:
        s3 = replace(job.source.s3, endpoint_url=endpoint)
        with gdal_environment(network_environment(s3)):
            yield replace(job, source=replace(job.source, s3=s3))
