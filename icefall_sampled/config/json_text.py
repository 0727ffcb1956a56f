"""Configurations as JSON text, the form in which a checkpoint holds its own."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from icefall_sampled.errors import UserError

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


def from_json(cls: type[D], text: str, *, parts: Mapping[str, type[Any]] | None = None) -> D:
    """The dataclass back from `to_json`'s text.

    Args:
        cls: what `to_json` was given.
        text: its text.
        parts: the dataclasses of some fields, instead of those that `cls` is annotated with.

    Raises:
        UserError: where the text is not JSON, lacks a field, or has one that `cls` does not have.
    """
    try:
        return typing.cast(D, _build(cls, json.loads(text), cls.__name__, parts or {}))
    except (json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{cls.__name__} cannot be read: {error}") from error


def _build(kind: Any, value: Any, name: str, parts: Mapping[str, type[Any]]) -> Any:
    """Turn plain JSON values into what the annotation `kind` asks for."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise UserError(f"{name} is {value!r}, it must be an object with fields")
        hints = {**typing.get_type_hints(kind), **parts}
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise UserError(f"{name} has no field {unknown[0]!r}; known: {', '.join(hints)}")
        make = typing.cast(Any, kind)
        return make(**{k: _build(hints[k], v, f"{name}.{k}", {}) for k, v in value.items()})
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # Path | None, for example
        some = next(k for k in typing.get_args(kind) if k is not type(None))
        return None if value is None else _build(some, value, name, {})
    if kind is Path:
        return Path(value)
    if isinstance(kind, types.GenericAlias):
        return _build_container(typing.get_origin(kind), typing.get_args(kind), value, name)
    return value


def _build_container(origin: object, arguments: tuple[Any, ...], value: Any, name: str) -> Any:
    """A tuple or a dict of what the annotation's arguments ask for."""
    if origin is dict:
        if not isinstance(value, dict):
            raise UserError(f"{name} is {value!r}, it must be an object")
        return {k: _build(arguments[1], part, f"{name}[{k!r}]", {}) for k, part in value.items()}
    if origin is not tuple:
        raise UserError(f"{name} is annotated as {origin}, it must be a tuple or a dict")
    if not isinstance(value, list):
        raise UserError(f"{name} is {value!r}, it must be a list")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise UserError(f"{name} has {len(value)} entries, it must have {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_build(kind, part, f"{name}[{i}]", {}) for i, (kind, part) in pairs)
