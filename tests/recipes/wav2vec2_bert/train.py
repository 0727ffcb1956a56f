"""Train a transducer whose encoder is transformers' Wav2Vec2-BERT, from random weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, arange, nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from icefall_sampled.config import Config, PartConfig
from icefall_sampled.recipes import run_training


@dataclass(frozen=True, kw_only=True)
class BertConfig(PartConfig):
    """Wav2Vec2-BERT (Barrault et al. 2023), with random weights."""

    width: int = 64
    """Model dimension D, a multiple of 4."""
    num_layers: int = 4
    """Conformer blocks."""


class Bert(nn.Module):
    min_input_frames = 2

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.width = config.width
        self.model = Wav2Vec2BertModel(Wav2Vec2BertConfig(
            feature_projection_input_dim=160, hidden_size=config.width, num_attention_heads=4,
            intermediate_size=4 * config.width, num_hidden_layers=config.num_layers,
            layerdrop=0.0, mask_time_prob=0.0,  # so that every weight takes part in each step
        ))  # fmt: skip

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths // 2

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        pairs = features[:, : features.shape[1] // 2 * 2].reshape(features.shape[0], -1, 160)
        lengths = self.output_lengths(lengths)
        valid = arange(pairs.shape[1], device=lengths.device) < lengths[:, None]
        return self.model(pairs, attention_mask=valid.long()).last_hidden_state, lengths


def make_encoder(config: BertConfig) -> Bert:
    return Bert(config)


base = Config(encoder=BertConfig())
if __name__ == "__main__":
    run_training({"bert": base}, base=base, description=__doc__, make_encoder=make_encoder)
