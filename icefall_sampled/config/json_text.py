"""Configurations as JSON text, the form in which a checkpoint holds its own."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

D = TypeVar("D")


def to_json(config: object) -> str:
    """A dataclass of this file as JSON text."""
    return json.dumps(dataclasses.asdict(config), default=str, indent=2)  # type: ignore[call-overload]


def leaves(config: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a dataclass and of those in it, by names as train.py's flags have them."""
    if not dataclasses.is_dataclass(config):
        return {prefix: config}
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        name = f"{prefix}.{field.name}" if prefix else field.name
        found.update(leaves(getattr(config, field.name), name))
    return found


def from_json(cls: type[D], text: str) -> D:
    """The dataclass back from `to_json`'s text.

    Raises:
        ValueError: where the text is not JSON, or names a field that `cls` does not have.
    """
    return typing.cast(D, _build(cls, json.loads(text), cls.__name__))


def _build(kind: Any, value: Any, name: str) -> Any:
    """Turn plain JSON values into what the annotation `kind` asks for."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {value!r}, it must be an object with fields")
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise ValueError(f"{name} has no field {unknown[0]!r}; known: {', '.join(hints)}")
        make = typing.cast(Any, kind)
        return make(**{k: _build(hints[k], v, f"{name}.{k}") for k, v in value.items()})
    if kind is Path:
        return Path(value)
    if isinstance(kind, types.GenericAlias):
        return _build_container(typing.get_origin(kind), typing.get_args(kind), value, name)
    return value


def _build_container(origin: object, arguments: tuple[Any, ...], value: Any, name: str) -> Any:
    """A tuple or a dict of what the annotation's arguments ask for."""
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {value!r}, it must be an object")
        return {k: _build(arguments[1], part, f"{name}[{k!r}]") for k, part in value.items()}
    assert origin is tuple
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r}, it must be a list")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise ValueError(f"{name} has {len(value)} entries, it must have {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_build(kind, part, f"{name}[{i}]") for i, (kind, part) in pairs)
