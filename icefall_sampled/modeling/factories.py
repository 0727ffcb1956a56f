"""The functions that make the parts of a model, and their names in checkpoints.

A recipe with an encoder of its own passes a function to `run_training`, which stores its name with
the weights: `package.module:function`, or `/path/of/train.py:function` where it is not of an
installed package. A checkpoint runs no code that its user has not installed or named: a function
of a file is found again only where the user names that file (`--model-code train.py`) or passes
the function, as the recipe's decode.py does. What is called has an annotation that says that it
makes parts of models.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from icefall_sampled.config import Config, OptimizerConfig, PartConfig, from_json, to_json
from icefall_sampled.errors import UserError
from icefall_sampled.modeling.conformer import make_conformer
from icefall_sampled.modeling.ctc import CtcHead
from icefall_sampled.modeling.encoder import Encoder
from icefall_sampled.modeling.joiner import Joiner
from icefall_sampled.modeling.predictor import Predictor, make_predictor
from icefall_sampled.modeling.transducer import Transducer, check_members
from icefall_sampled.optimizer import make_adamw


@dataclass(frozen=True, kw_only=True)
class Factories:
    """What makes the parts that a recipe may replace.

    Each is a function at the top level of a module. One argument is annotated with its own config,
    a frozen dataclass derived from `PartConfig` (`OptimizerConfig` for the optimizer).
    """

    encoder: Callable[[Any], Encoder] = make_conformer
    """make_encoder(config.encoder)."""
    predictor: Callable[[Any, int], Predictor] = make_predictor
    """make_predictor(config.predictor, vocab_size)."""
    optimizer: Callable[[nn.Module, Any], torch.optim.Optimizer] = make_adamw
    """make_optimizer(module, config.optimizer), whose learning rate is set before each step."""

    def model(self, config: Config, vocab_size: int) -> Transducer:
        """The model of a config, with random weights.

        Raises:
            ValueError: where a factory and its config, or the parts, do not fit together.
        """
        self.check(config)
        encoder = self.encoder(config.encoder)
        predictor, ctc = self.predictor(config.predictor, vocab_size), None
        check_members(encoder, predictor)
        joiner = Joiner(
            config.joiner,
            encoder_width=encoder.width,
            predictor_width=predictor.width,
            vocab_size=vocab_size,
        )
        if config.ctc.joint_weight > 0 or config.ctc.intermediate_layers:
            ctc = CtcHead(
                encoder.width,
                vocab_size,
                joint=config.ctc.joint_weight > 0,
                layers=config.ctc.intermediate_layers,
                self_conditioning=config.ctc.self_conditioning,
            )
        model = Transducer(encoder, predictor, joiner, ctc)
        model.config, model.factories = config, self
        return model

    def check(self, config: Config) -> None:
        """Raise UserError where a part's config is not what its factory and a checkpoint take."""
        for name, wanted in self.config_classes().items():
            given = getattr(config, name)
            if not isinstance(given, wanted):
                raise UserError(
                    f"{name} of the config is a {type(given).__name__}, it must be a "
                    f"{wanted.__name__}: that is what make_{name} takes"
                )
            if from_json(wanted, to_json(given)) != given:
                raise UserError(
                    f"{name} of the config is {given}, a checkpoint cannot hold it: its fields "
                    "must be annotated as numbers, texts, Paths, tuples and dicts of these"
                )
        if not isinstance(config.optimizer, OptimizerConfig):
            raise UserError(
                f"optimizer of the config is a {type(config.optimizer).__name__}, it must be "
                "derived from OptimizerConfig: training reads its learning rate"
            )

    def config_classes(self) -> dict[str, type[PartConfig]]:
        """The class of the config of each part, from the annotations of the factories."""
        return {part.name: _config_class(getattr(self, part.name)) for part in fields(Factories)}

    def names(self) -> dict[str, str]:
        """The name of each factory, by which `find` finds it again.

        Raises:
            ValueError: where it is not a function at the top level of a module.
        """
        return {name: name_of(factory) for name, factory in _functions(self).items()}


MadeBy = Mapping[str, Callable[..., Any]]
"""Factories by the names of their parts, the fields of `Factories`."""


def _functions(factories: Factories) -> dict[str, Callable[..., Any]]:
    return {part.name: getattr(factories, part.name) for part in fields(Factories)}


def name_of(function: Callable[..., Any]) -> str:
    """`package.module:function` where its package is installed, else `/path/file.py:function`.

    Raises:
        ValueError: where it is not a function at the top level of a module.
    """
    name = getattr(function, "__qualname__", "")
    if not inspect.isfunction(function) or not name.isidentifier():
        raise UserError(
            f"a factory is {name or function!r}, it must be a function at the top level of a "
            "module, because a checkpoint finds it again by its name"
        )
    if _is_installed(function.__module__):
        return f"{function.__module__}:{name}"
    return f"{Path(inspect.getfile(inspect.unwrap(function))).resolve()}:{name}"


def portable(names: Mapping[str, str]) -> dict[str, str]:
    """The names without the folders of the machine on which they were given."""
    return {part: name.rpartition("/")[2] for part, name in names.items()}


def find(
    names: Mapping[str, str], *, made_by: MadeBy | None = None, code: Path | None = None
) -> Factories:
    """The factories that a checkpoint names.

    Args:
        names: of the parts' factories, from `Factories.names`.
        made_by: those that the user has; they are taken whatever the names are.
        code: a file that the user has named: it is run, and functions of files are taken from it.

    Raises:
        ValueError: where one cannot be found, or is no factory; says what is missing.
    """
    found = dict(made_by or {})
    module = None if code is None else _run(code)
    for part in fields(Factories):
        if part.name in names and part.name not in found:
            found[part.name] = _find(part.name, str(names[part.name]), module)
    return Factories(**found)


def _find(part: str, name: str, code: ModuleType | None) -> Callable[..., Any]:
    """The factory of a part, of an installed module or of the module that the user has named."""
    source, _, function = name.rpartition(":")
    of_file = source.endswith(".py")
    if not of_file and _is_installed(source):
        module = importlib.import_module(source)
    elif code is not None:
        module, source = code, str(code.__file__)
    else:
        lack = "" if of_file else ", which is no installed package"
        if Path(source).is_absolute() and not Path(source).is_file():
            lack = ", which is not on this machine"
        raise UserError(
            f"the model's {part} is made by {function} of {source}{lack}: its code is run only if "
            "you name the file (--model-code FILE)"
        )
    made = getattr(module, function, None)
    if made is None:
        raise UserError(f"the model's {part} is made by {function}, which {source} lacks")
    _config_class(made)
    return typing.cast(Callable[..., Any], made)


def _is_installed(module: str) -> bool:
    """Whether a module belongs to this package or to an installed distribution."""
    top = module.partition(".")[0]
    return top == __name__.partition(".")[0] or top in _distributed()


@cache
def _distributed() -> frozenset[str]:
    """The top-level modules of all installed distributions."""
    return frozenset(packages_distributions())


def _run(path: Path) -> ModuleType:
    """The module in a file that the user has named; it finds its neighbours, as a program does.

    Raises:
        ValueError: where there is no such file.
    """
    if not path.is_file():
        raise UserError(f"model_code is {path}, it must be the file with the model's factories")
    name = f"model_code_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"model_code is {path}, it must be a file of Python (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module


def _config_class(factory: Callable[..., Any]) -> type[PartConfig]:
    """The class that the factory's argument of that kind is annotated with.

    Raises:
        ValueError: where it is not a dataclass derived from `PartConfig`.
    """
    name = getattr(factory, "__name__", repr(factory))
    try:
        hints = typing.get_type_hints(factory) if inspect.isfunction(factory) else {}
    except Exception as error:  # whatever evaluating an annotation raises
        raise UserError(
            f"the annotations of the factory {name} cannot be read, what they mention must be "
            f"imported outside of TYPE_CHECKING, too: {error}"
        ) from error
    for kind in hints.values():
        if isinstance(kind, type) and issubclass(kind, PartConfig) and is_dataclass(kind):
            return kind
    raise UserError(
        f"{name} is no factory of a part: it must be a function with an argument that is annotated "
        "with a dataclass derived from icefall_sampled.config.PartConfig"
    )
