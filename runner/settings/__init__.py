"""The settings of a job: every key with its type, its default, the values it may take, and its meaning.

YAML holds values, these records hold names. The text below a field or a member is its meaning; the reference
(`runner/docs/reference.md`) and the JSON schema are made from it. `config.job_config` composes and checks them.
"""

from runner.settings.archive import ArchiveSettings
from runner.settings.choices import (
    Action,
    ClusterKind,
    Duplicates,
    EngineName,
    Georeference,
    Inflate,
    Layout,
    Objective,
    OnError,
    Over,
    OwnMask,
    PlanHeaders,
    RasterDtype,
    ReaderName,
    ResultScale,
    Search,
    Sidecars,
    Signing,
    SourceKind,
    StackGrid,
    Start,
    Verify,
    Versions,
    Weights,
    ZonePixels,
)
from runner.settings.cluster import AdaptSettings, ClusterSettings, SshSettings, TlsSettings
from runner.settings.job import JobSettings
from runner.settings.limits import COMPRESSIONS, Limits
from runner.settings.mask import MaskHrefSettings, MaskSettings
from runner.settings.output import DebugSettings, OutputSettings
from runner.settings.reading import DecodeSettings, FetchSettings, GdalSettings
from runner.settings.source import AzureSettings, GcsSettings, S3Settings, SourceSettings, StacSettings
from runner.settings.stages import ChunkSettings, StageSettings
from runner.settings.sweep import SweepSettings
from runner.settings.zones import ZoneSettings

__all__ = [
    "COMPRESSIONS",
    "Action",
    "AdaptSettings",
    "ArchiveSettings",
    "AzureSettings",
    "ChunkSettings",
    "ClusterKind",
    "ClusterSettings",
    "DebugSettings",
    "DecodeSettings",
    "Duplicates",
    "EngineName",
    "FetchSettings",
    "GcsSettings",
    "GdalSettings",
    "Georeference",
    "Inflate",
    "JobSettings",
    "Layout",
    "Limits",
    "MaskHrefSettings",
    "MaskSettings",
    "Objective",
    "OnError",
    "OutputSettings",
    "Over",
    "OwnMask",
    "PlanHeaders",
    "RasterDtype",
    "ReaderName",
    "ResultScale",
    "S3Settings",
    "Search",
    "Sidecars",
    "Signing",
    "SourceKind",
    "SourceSettings",
    "SshSettings",
    "StacSettings",
    "StackGrid",
    "StageSettings",
    "Start",
    "SweepSettings",
    "TlsSettings",
    "Verify",
    "Versions",
    "Weights",
    "ZonePixels",
    "ZoneSettings",
]
