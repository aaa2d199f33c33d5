"""The keys of a cluster: which workers run the tasks of a stage, and how they are started or reached."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import ClusterKind, Versions
from runner.settings.limits import FROM_1, SECONDS


@dataclass(slots=True)
class TlsSettings:
    """The certificates by which a dask scheduler, its workers and this process trust each other."""

    ca_file: str | None = None
    """File of the authority's certificate, in PEM. With it, everything is encrypted and nobody else is let in."""
    cert_file: str | None = None
    """File of the certificate that this process shows, in PEM."""
    key_file: str | None = None
    """File of the private key of `cert_file`, in PEM. It is read, and never sent or recorded."""


@dataclass(slots=True)
class AdaptSettings:
    """A number of workers that follows the tasks. Without it, the number is fixed."""

    minimum: Annotated[int, FROM_1] = 1
    """Least number of workers."""
    maximum: Annotated[int | None, FROM_1] = None
    """Largest number of workers. A value lets the number follow the tasks."""
    interval: Annotated[float, SECONDS] = 5.0
    """Seconds between two decisions."""
    patience: Annotated[int, FROM_1] = 12
    """Number of decisions in a row that must find a worker idle before it is stopped."""


@dataclass(slots=True)
class SshSettings:
    """The connection to the hosts of the kind `ssh`. What is null is taken from `~/.ssh/config`."""

    username: str | None = None
    """Name of the user on the hosts."""
    port: Annotated[int | None, FROM_1] = None
    """Port of the ssh servers."""
    key_file: str | None = None
    """File of the private key."""
    known_hosts: str | None = None
    """File of the keys of the hosts. A host that is not in it is refused."""
    remote_python: str | None = None
    """Python on the hosts, in an environment with this package. Null is the path of this process's own."""


@dataclass(slots=True)
class ClusterSettings:
    """The workers of a stage."""

    kind: ClusterKind = ClusterKind.threads
    """Which cluster runs the stage."""
    n_workers: Annotated[int | None, FROM_1] = None
    """Number of worker processes. Null starts one per core on this machine, one job in a queue, one behind a gateway;
    of an `address` it is the number to wait for."""
    threads_per_worker: Annotated[int | None, FROM_1] = None
    """Number of threads in each worker. Null is one per core for `threads`, 1 for `processes`, all cores for `ssh`."""
    memory_limit: str | None = None
    """Memory of each worker, such as `2GiB`. `auto` or null shares the memory of its machine evenly."""
    address: str | None = None
    """Address of the scheduler for the kind `address`, such as `tcp://host:8786` or `tls://host:8786`; of the server
    for the kind `gateway`, such as `https://host`."""
    start_timeout: Annotated[float, SECONDS] = 60.0
    """Seconds to wait for the first worker."""
    silent_timeout: Annotated[float, SECONDS] = 60.0
    """Seconds without an answer after which a worker is given up and its tasks go to others."""
    versions: Versions = Versions.stop
    """What happens to workers with another version of this package, Python, numpy or numba."""
    tls: TlsSettings = field(default_factory=TlsSettings)
    """Certificates, for schedulers that ask for them."""
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    """A number of workers that follows the tasks."""
    queue: str | None = None
    """Queue of the jobs; a partition in Slurm. HTCondor has none. As all keys of jobs, null is what your
    `jobqueue.yaml` says."""
    account: str | None = None
    """Account of the jobs; a project in some queueing systems. HTCondor has none."""
    walltime: str | None = None
    """Longest time of a job as its queue reads it, such as `02:00:00`, or `02:00` in LSF. HTCondor has none. Workers
    leave shortly before, and another job follows."""
    jobs: Annotated[int | None, FROM_1] = None
    """Number of jobs. Each has `processes` workers. It takes the place of `n_workers`."""
    cores: Annotated[int | None, FROM_1] = None
    """Cores of a job, for all its workers."""
    memory: str | None = None
    """Memory of a job, for all its workers, such as `16GiB`."""
    processes: Annotated[int | None, FROM_1] = None
    """Number of workers in a job, or on a host of the kind `ssh`."""
    interface: str | None = None
    """Network interface by which scheduler and workers reach each other, such as `ib0`."""
    job_extra_directives: list[str] = field(default_factory=list)
    """Further directives of the job script, such as `--exclusive`."""
    job_script_prologue: list[str] = field(default_factory=list)
    """Lines of shell that a job runs before its workers, such as `module load python`."""
    log_directory: str | None = None
    """Folder of the jobs' own logs. Null is what your `jobqueue.yaml` says, or `job_logs` in the current folder."""
    hosts: list[str] = field(default_factory=list)
    """Hosts of the kind `ssh`. The scheduler runs on the first one, workers on all."""
    ssh: SshSettings = field(default_factory=SshSettings)
    """Connection to the hosts."""
    auth: str | None = None
    """Authentication at the gateway: `basic`, `kerberos` or `jupyterhub`. Null is what your `gateway.yaml` says."""
    plugin: str | None = None
    """Name of the entry point, for the kind `plugin`."""
    options: list[str] = field(default_factory=list)
    """Options of the gateway, the plugin or the class of dask-jobqueue, by their own names, as `worker_cores=2`."""
