"""Files of polygons, of this machine, of a bucket or of the web: each is read once for all stacks of a run."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, Final

from runner.base.humanize import listed
from runner.base.suggest import nearest
from runner.errors import ConfigError, SourceError, expanded, printable
from runner.read.services import is_remote
from runner.source.documents import read_document
from runner.source.hints import missing_hint
from runner.source.polygons import JSON, PARQUET, FileFeatures, features_of_file, refuse_layer, told_of
from runner.source.stores import Stores

_BESIDE: Final = (".shx", ".dbf", ".prj", ".cpg")  # files of a Shapefile
_ENDINGS: Final = (*JSON, *PARQUET, ".gpkg", ".shp", ".fgb")
_MOST_NAMED: Final = 5
_KEPT: Final = 4  # files, whose features are kept for the next stack


@dataclass(frozen=True, slots=True)
class PolygonFile:
    """A file that a setting names, and what is read of it: a layer, and a column that names the features."""

    setting: str  # such as source.area
    name: str
    layer_setting: str
    layer: str | None = None
    column: str | None = None

    @property
    def shown(self) -> str:
        """The setting and its value, for messages."""
        return f"{self.setting}={printable(self.name)}"


def features_in(file: PolygonFile, stores: Stores | None) -> FileFeatures:
    """The features of a file; those of a file that has not changed are the same object.

    Raises ConfigError for a file that cannot be used, SourceError or ReadError if a store fails.
    """
    if not is_remote(file.name):
        path = expanded(file.name).absolute()
        return _of_file(file, path, tuple(map(_stamp, [path, *_beside(path)])))
    if stores is None:
        raise ConfigError(f"{file.shown}: wanted a file of this machine; copy it here")
    names = [file.name, *(str(name) for name in _beside(file.name))]
    documents = (_document(name, stores, needed=not number) for number, name in enumerate(names))
    return _of_documents(file, tuple(documents))


def _beside(path: str | Path) -> list[Any]:
    """The other files of a Shapefile."""
    text = str(path)
    if not text.lower().endswith(".shp"):
        return []
    return [type(path)(text[:-4] + (ending.upper() if text.endswith(".SHP") else ending)) for ending in _BESIDE]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes if a file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _document(name: str, stores: Stores, *, needed: bool) -> bytes | None:
    """The bytes of a file, which is fetched once; None for one that is not there and not needed."""
    if name not in stores.documents:
        try:
            stores.documents[name] = read_document(name, "file of polygons", stores)
        except SourceError:
            if needed:
                raise
            stores.documents[name] = None
    return stores.documents[name]


@lru_cache(maxsize=_KEPT)
def _of_file(file: PolygonFile, path: Path, stamps: tuple[object, ...]) -> FileFeatures:  # noqa: ARG001
    return _read(file, path)


@lru_cache(maxsize=_KEPT)
def _of_documents(file: PolygonFile, documents: tuple[bytes | None, ...]) -> FileFeatures:
    with TemporaryDirectory() as folder:
        path = Path(folder) / PurePath(file.name.partition("?")[0]).name
        for place, data in zip([path, *_beside(path)], documents, strict=True):
            if data is not None:
                place.write_bytes(data)
        return _read(file, path)


def _missing_hint(path: Path) -> str:
    """What lies in place of a file that is not there: a file of a like name, or others of polygons in its folder."""
    if not path.parent.is_dir():
        return missing_hint(str(path.parent))
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _ENDINGS)
    except OSError:
        names = []
    near = nearest(path.name, names)
    if near:
        return f"; did you mean {printable(near)}"
    there = f"has {printable(listed(names, _MOST_NAMED))}" if names else "has no file of polygons"
    return f"; its folder {printable(str(path.parent))} {there}"


def _read(file: PolygonFile, path: Path) -> FileFeatures:
    if not path.exists():
        raise ConfigError(f"{file.shown}: there is no such file{_missing_hint(path)}")
    refuse_layer(file.layer_setting, file.layer, path, file.name)
    with told_of(file.shown):
        return features_of_file(path, file.layer_setting, file.layer, file.column)
