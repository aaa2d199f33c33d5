"""Checks of single values: a condition and its message, the limits of keys, sizes in bytes."""

from runner.base.sizes import parse_bytes
from runner.config.setting_fields import fields_of
from runner.errors import ConfigError


def require(key: str, holds: object, got: object, wanted: str) -> None:
    """Raise ConfigError that names the key, what it got and what was wanted, unless it holds."""
    if not holds:
        raise ConfigError(f"{key}={'null' if got is None else got}: wanted {wanted}")


def check_limits(record: object, at: str = "") -> None:
    """Check every number and word of a settings record against the limits of its key. Raises ConfigError."""
    owner: type = type(record)
    for entry in fields_of(owner):
        key, value = f"{at}{entry.name}", getattr(record, entry.name)
        if entry.limits is not None and not (value is None and entry.optional):
            require(key, entry.limits.hold(value), value, entry.limits.wanted)
        if entry.record is not None and value is not None:
            nodes = {f"{key}.{name}": node for name, node in value.items()} if entry.is_table else {key: value}
            for where, node in nodes.items():
                check_limits(node, f"{where}.")


def check_bytes(key: str, value: str, wanted: str = "auto or a size such as 2GiB") -> None:
    """Raise ConfigError for a text that is no number of bytes above 0."""
    try:
        holds = parse_bytes(value) > 0
    except (ValueError, OverflowError):
        holds = False
    require(key, holds, value, wanted)
