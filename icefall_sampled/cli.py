"""What every command of the project does alike: logging, errors in one sentence, exit codes.

0 done; 2 the user has to change something; 130 interrupted, the same command goes on.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro

C = TypeVar("C")


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit as the module says.

    With ICEFALL_SAMPLED_TRACEBACK=1 in the environment the traceback of an error is shown too.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except (ValueError, ImportError, OSError) as error:
        if os.environ.get("ICEFALL_SAMPLED_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def choose_variant(variants: dict[str, C], *, base: C, description: str) -> C:
    """Read `VARIANT --field value …` from the command line: a named config and what differs.

    Args:
        variants: configs by name.
        base: what `--help` describes each variant against.
        description: of the program.
    """
    return tyro.extras.overridable_config_cli(
        {name: (_differences(base, config), config) for name, config in variants.items()},
        description=description,
    )


def parse(default: C, *, description: str) -> C:
    """Read `--field value …` from the command line."""
    return tyro.cli(type(default), default=default, description=description)


def parse_class(cls: type[C], *, description: str) -> C:
    """Read the fields of a dataclass from the command line; those without default are required."""
    return tyro.cli(cls, description=description)


def _differences(base: object, config: object) -> str:
    """The fields in which a config differs from another, as text."""
    was, now = _leaves(base), _leaves(config)
    return ", ".join(f"{k} {now[k]}" for k in now if now[k] != was.get(k)) or "the default"


def _leaves(config: Any, prefix: str = "") -> dict[str, object]:
    if not dataclasses.is_dataclass(config):
        return {prefix: config}
    leaves: dict[str, object] = {}
    for field in dataclasses.fields(config):
        name = f"{prefix}.{field.name}" if prefix else field.name
        leaves.update(_leaves(getattr(config, field.name), name))
    return leaves
