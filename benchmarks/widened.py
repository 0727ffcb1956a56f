"""A trained model widened to the paper's size, with unchanged decisions.

The additional classes always have the logit -30, and the additional units are always zero. So the
searches do the paper's computation on a trained model's posteriors. The encoder is not widened: its
output is padded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.cases import PADDED_BIAS
from icefall_sampled.config import Config
from icefall_sampled.errors import UserError
from icefall_sampled.modeling import Encoded, Factories, Transducer


@dataclass(frozen=True, kw_only=True)
class Size:
    """Widths of a search's computation; by default the paper's, whose V is 2000 or 4233."""

    vocab_size: int
    encoder: int = 256
    embedding: int = 256
    predictor: int = 640
    joiner: int = 640


def widened_config(config: Config, size: Size) -> Config:
    """The config of a widened model, with an encoder of one block that is never called."""
    predictor = replace(
        config.predictor, embedding_width=size.embedding, hidden_width=size.predictor
    )
    encoder = replace(config.encoder, width=size.encoder, num_layers=1, feedforward_width=1)
    return replace(
        config, predictor=predictor, joiner=replace(config.joiner, width=size.joiner),
        encoder=encoder,
    )  # fmt: skip


def widened_state(model: Transducer, size: Size) -> dict[str, Tensor]:
    """The weights of a widened model, without those of its encoder.

    Raises:
        UserError: if the model is larger than the wanted size, or has no CTC head.
    """
    config = model.config
    for name, old, new in (
        ("vocab_size", model.vocab_size, size.vocab_size),
        ("encoder", config.encoder.width, size.encoder),
        ("embedding", config.predictor.embedding_width, size.embedding),
        ("predictor", config.predictor.hidden_width, size.predictor),
        ("joiner", config.joiner.width, size.joiner),
    ):
        if new < old:
            raise UserError(f"{name} is {new}, it must be at least the model's {old}")
    if model.ctc is None or config.joiner.activation != "tanh":
        raise UserError("checkpoint must be of a model with a CTC head and a tanh joiner")
    shapes = Factories().model(widened_config(config, size), size.vocab_size).state_dict()
    return {
        name: _larger(name, value, shapes[name].shape)
        for name, value in model.state_dict().items()
        if not name.startswith("encoder.")
    }


def _larger(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    """Pad a tensor with zeros, or with -30 for the logits of additional classes."""
    if ".lstm." in name:  # four gates, stacked
        gates = (
            _larger("", gate, torch.Size([shape[0] // 4, *shape[1:]])) for gate in value.chunk(4)
        )
        return torch.cat(list(gates))
    missing = [b - a for a, b in zip(value.shape, shape, strict=True)]
    fill = PADDED_BIAS if name.endswith("output.bias") else 0.0
    sides = [side for amount in reversed(missing) for side in (0, amount)]
    return pad(value.detach(), sides, value=fill)


def widened(config: Config, state: dict[str, Tensor], size: Size) -> Transducer:
    """The model of `widened_state`, in eval mode; its encoder is not usable."""
    model = Factories().model(widened_config(config, size), size.vocab_size)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith("encoder.") for name in missing), missing
    return model.eval()


def padded(encoded: Encoded, size: Size) -> Encoded:
    """The output of the trained encoder for the widened model."""

    def wide(values: Tensor) -> Tensor:
        return pad(values, (0, size.encoder - values.shape[2]))

    return Encoded(wide(encoded.out), encoded.lengths, [wide(tap) for tap in encoded.taps])
