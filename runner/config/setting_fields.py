"""The fields of the settings records: type, limits, default and meaning of each, as `runner.settings` states them."""

import ast
import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from runner.base.humanize import one_line
from runner.settings import Limits


@dataclass(frozen=True, slots=True)
class SettingField:
    """A key of a settings record."""

    owner: type
    name: str
    annotation: Any  # without the limits
    limits: Limits | None
    default: object

    @property
    def plain_default(self) -> object:
        """The default as a file has it: enumerations by name."""
        value = self.default
        return [_plain(one) for one in value] if isinstance(value, list) else _plain(value)

    @property
    def optional(self) -> bool:
        """Tell if the key may be null."""
        return NoneType in get_args(self.annotation)

    @property
    def plain(self) -> Any:
        """The type of a value that is not null."""
        kinds = get_args(self.annotation) if self.optional else (self.annotation,)
        return next(kind for kind in kinds if kind is not NoneType)

    @property
    def record(self) -> type | None:
        """The record below the key."""
        return record_in(self.annotation)

    @property
    def is_table(self) -> bool:
        """Tell if the keys below it are names of the user's."""
        return get_origin(self.annotation) is dict


def record_in(annotation: Any) -> type | None:
    """The settings record in an annotation such as `X`, `X | None` or `dict[str, X]`."""
    found = next((one for one in (annotation, *get_args(annotation)) if is_dataclass(one)), None)
    return found if isinstance(found, type) else None


def enums_in(annotation: Any) -> list[type[Enum]]:
    """The enumerations in an annotation such as `X`, `X | None` or `list[X]`."""
    return [one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, Enum)]


@cache
def fields_of(record: type) -> tuple[SettingField, ...]:
    """The keys of a settings record, in their order."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(_field(record, entry, hints[entry.name]) for entry in fields(record))


def meaning(owner: type, name: str | None = None) -> str:
    """The text below a field or a member; without a name, the first paragraph of the record or enumeration itself.

    It is empty where `runner.settings` has none.
    """
    if name is None:
        return one_line((owner.__doc__ or "").partition("\n\n")[0])
    return _texts(owner.__module__).get(owner.__name__, {}).get(name, "")


def meaning_lines(entry: SettingField) -> list[str]:
    """The meaning of a key, and of each of its choices."""
    choices = [(owner, one.name) for owner in enums_in(entry.annotation) for one in owner]
    return [meaning(entry.owner, entry.name), *(f"`{name}`: {meaning(owner, name)}" for owner, name in choices)]


def _plain(value: object) -> object:
    return value.name if isinstance(value, Enum) else value


def _field(owner: type, entry: Field[Any], hint: Any) -> SettingField:
    annotation, limits = hint, None
    if get_origin(hint) is Annotated:
        annotation, limits = get_args(hint)
        annotation = _texts_of(entry) if limits.texts else annotation
    factory = entry.default_factory
    return SettingField(owner, entry.name, annotation, limits, entry.default if factory is MISSING else factory())


def _texts_of(entry: Field[Any]) -> Any:
    return str | list[str] | None if entry.default is None else str | list[str]


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """The texts below fields and members of a module, by class; Python itself does not keep them."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _texts_in(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_in(owner: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for entry, below in zip(owner.body, owner.body[1:], strict=False):
        name = _assigned(entry)
        if name and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[name] = one_line(str(below.value.value))
    return texts


def _assigned(entry: ast.stmt) -> str | None:
    """The name that a line such as `name: type = value` or `name = value` defines."""
    targets = [entry.target] if isinstance(entry, ast.AnnAssign) else getattr(entry, "targets", [])
    return next((target.id for target in targets if isinstance(target, ast.Name)), None)
