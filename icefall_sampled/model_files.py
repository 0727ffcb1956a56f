"""Loads a trained model from the checkpoints of its run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, from_json
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import TokenTable, load_tokens

logger = logging.getLogger(__name__)

MakeModel = Callable[[Config, int], Transducer]
"""Builds the network from a config and a number of classes; a recipe may have its own."""


def load_averaged(
    exp_dir: Path, *, avg: int, lang_dir: Path | None = None, make_model: MakeModel = Transducer
) -> tuple[Transducer, TokenTable]:
    """The averaged model of a run on the best available device, in eval mode, and its tokens.

    Args:
        exp_dir: folder of the training run.
        avg: how many of the latest checkpoints to average; 0 takes the best on dev.
        lang_dir: folder of the token table; by default that of training.
        make_model: the one that `train` was given.

    Raises:
        CheckpointError: where there is no checkpoint, it has another vocabulary, or it contains
            NaN or infinity.
    """
    paths = checkpoint.find(exp_dir)[-avg:] if avg else [exp_dir / checkpoint.BEST]
    if not paths:
        raise CheckpointError(f"exp_dir is {exp_dir}, there is no checkpoint in it")
    state = checkpoint.average(paths)
    trained = from_json(Config, state["config"])
    folder = lang_dir or trained.data.lang_dir
    tokens = load_tokens(folder)
    if tokens.fingerprint != state["tokens"]:
        raise CheckpointError(
            f"{paths[-1]} was trained with another vocabulary ({state['vocab_size']} classes) "
            f"than {folder} has ({tokens.vocab_size} classes)"
        )
    broken = [name for name, value in state["model"].items() if not bool(value.isfinite().all())]
    if broken:  # searches would return nonsense, and Graves' would never end
        raise CheckpointError(f"{paths[-1]} is of a run that diverged: {broken[0]} is not finite")
    model = make_model(trained, tokens.vocab_size)
    model.load_state_dict(state["model"])
    logger.info("the mean of %d checkpoints up to %s", len(paths), paths[-1])
    return model.to(best_device()).eval(), tokens


def best_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
