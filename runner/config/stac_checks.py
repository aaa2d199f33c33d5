"""Checks of what chooses STAC items, which is for a source of items alone."""

import re
from math import isfinite
from typing import Final

from runner.base.redact import SECRET_NAMES
from runner.config.setting_fields import fields_of
from runner.errors import ConfigError
from runner.settings import SourceKind, SourceSettings, StacSettings

_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def check_stac(source: SourceSettings) -> None:
    """Raise ConfigError for conditions without items, items without an asset, and a box that is none."""
    if source.kind is not SourceKind.stac:
        _refuse_conditions(source)
    elif not source.asset:
        raise ConfigError("source.asset has no value: give it the key of a STAC asset, such as source.asset=red")
    variable = source.stac.login_from
    if variable is not None and not (_VARIABLE.fullmatch(variable) and SECRET_NAMES.search(variable)):
        raise ConfigError(
            "source.stac.login_from: wanted the name of an environment variable with TOKEN or SECRET in it, such as "
            "STAC_TOKEN, by which its value is kept out of what is written"
        )
    box = source.stac.bbox
    if box is not None and not (len(box) == 4 and all(map(isfinite, box)) and box[1] < box[3]):
        raise ConfigError(f"source.stac.bbox={box}: wanted [west, south, east, north] in degrees, south below north")


def _refuse_conditions(source: SourceSettings) -> None:
    names = [entry.name for entry in fields_of(StacSettings) if entry.name != "sign"]  # which any address may need
    chosen = {f"source.stac.{name}": getattr(source.stac, name) for name in names}
    for key, value in {"source.asset": source.asset, **chosen}.items():
        if value:
            raise ConfigError(f"{key}={value}: wanted nothing, unless source=stac")
