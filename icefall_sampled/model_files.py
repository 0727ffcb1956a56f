"""Loads a trained model from the checkpoints of its run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, from_json
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.modeling.factories import MadeBy, find
from icefall_sampled.running_mean import mean_between
from icefall_sampled.tokens import OWN_TABLE, TokenTable, load_tokens

logger = logging.getLogger(__name__)


def load_averaged(
    exp_dir: Path,
    *,
    avg: int,
    lang_dir: Path | None = None,
    running_mean: bool = False,
    made_by: MadeBy | None = None,
    code: Path | None = None,
) -> tuple[Transducer, TokenTable]:
    """The averaged model of a run on the best available device, in eval mode, and its tokens.

    Args:
        exp_dir: folder of the training run.
        avg: how many of the latest checkpoints to average; 0 takes the best on dev.
        lang_dir: folder of the token table; by default the copy in the run's folder.
        running_mean: take the mean of the weights during training, over the time from the
            checkpoint before these to the last of them (`training.mean_every_steps`).
        made_by: the factories of a model with parts of its own; by default those that the
            checkpoint names (see `modeling.factories`).
        code: the file with these factories, if they are not of an installed package.

    Raises:
        CheckpointError: where there is no checkpoint, it has another vocabulary, or it contains
            NaN or infinity.
        ValueError: where a factory cannot be found.
    """
    paths = checkpoint.find(exp_dir)[-avg:] if avg else [exp_dir / checkpoint.BEST]
    if not paths:
        raise CheckpointError(f"exp_dir is {exp_dir}, there is no checkpoint in it")
    state = _mean_of_training(exp_dir, avg) if running_mean else checkpoint.average(paths)
    factories, trained = config_of(state, made_by=made_by, code=code)
    own = exp_dir / OWN_TABLE
    folder = lang_dir or (own if own.is_dir() else trained.data.lang_dir)
    tokens = load_tokens(folder)
    if tokens.fingerprint != state["tokens"]:
        raise CheckpointError(
            f"{paths[-1]} was trained with another vocabulary ({state['vocab_size']} classes) "
            f"than {folder} has ({tokens.vocab_size} classes)"
        )
    broken = [name for name, value in state["model"].items() if not bool(value.isfinite().all())]
    if broken:  # searches would return nonsense, and Graves' would never end
        raise CheckpointError(f"{paths[-1]} is of a run that diverged: {broken[0]} is not finite")
    model = factories.model(trained, tokens.vocab_size)
    model.load_state_dict(state["model"])
    logger.info("the mean of %d checkpoints up to %s", len(paths), paths[-1])
    return model.to(best_device()).eval(), tokens


def _mean_of_training(exp_dir: Path, avg: int) -> dict[str, Any]:
    """The last checkpoint, with the mean of the weights since the one before the latest `avg`."""
    found = checkpoint.find(exp_dir)
    last = checkpoint.load(found[-1])
    first = checkpoint.load(found[-avg - 1])["mean"] if len(found) > avg > 0 else None
    if last["mean"] is None:
        raise CheckpointError(
            f"exp_dir is {exp_dir}, there is no running mean in it: it is kept by training with "
            "training.mean_every_steps"
        )
    for name, mean in mean_between(first, last["mean"]).items():
        last["model"][name] = mean.to(last["model"][name].dtype)
    return last


def config_of(
    state: dict[str, Any], *, made_by: MadeBy | None = None, code: Path | None = None
) -> tuple[Factories, Config]:
    """The factories and the config of a checkpoint; the arguments are those of `load_averaged`."""
    factories = find(state["factories"], made_by=made_by, code=code)
    return factories, from_json(Config, state["config"], parts=factories.config_classes())


def best_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
