"""The target of an upload opened, by the settings of a job."""

from runner.errors import OutputError, RunnerError
from runner.planning.reading import fetch_options
from runner.publish.address import address_of
from runner.publish.target import Target, of_output, shown
from runner.settings import JobSettings
from runner.source.stores import Clouds, Stores


def target_of(job: JobSettings) -> Target | None:
    """The target that a job uploads to, with connections that its stacks share; None if it uploads nothing."""
    return open_target(job.output.upload, stores_of_output(job)) if job.output.upload else None


def open_target(url: str, stores: Stores) -> Target:
    """The target at an address. Raises OutputError for credentials that are not there."""
    scheme, bucket, prefix = address_of(url)
    try:
        if scheme == "s3":
            from runner.publish.s3_target import S3Target  # noqa: PLC0415 - botocore, which runs without uploads spare

            return S3Target.of(bucket, prefix, stores)
        from runner.publish.cloud_target import CloudTarget  # noqa: PLC0415 - as above

        return CloudTarget.of(f"{scheme}://{bucket}", prefix, stores)
    except RunnerError as error:
        raise OutputError(f"{shown(url)}: {of_output(str(error))}") from error


def stores_of_output(job: JobSettings) -> Stores:
    """Access to the bucket of an upload."""
    return Stores(job.output.s3, fetch_options(job.fetch), Clouds(job.output.gcs, job.output.azure))
