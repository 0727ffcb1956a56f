"""The three networks that sherpa-onnx runs, shaped as its greedy search calls them.

It runs the encoder once, the joiner at each encoder frame, and the decoder (this package's
predictor) after each label. The encoder and the joiner add what its search lacks:

- several labels at a frame: each frame is repeated `max_symbols` times. After blank the next copy
  gives blank again, so greedy search over the copies is greedy search with `max_symbols`.
- the CTC constraint: each frame carries the classes that its utterance allows, and the joiner
  computes only these.
- blank skip: the encoder drops the frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from icefall_sampled.errors import UserError
from icefall_sampled.export.networks import Acoustics, SelfConditioning
from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.predictor import LstmPredictor, StatelessPredictor
from icefall_sampled.sampling.distribution import posterior_sum
from icefall_sampled.tokens import BLANK

LSTM_CONTEXT = 512
"""Labels that sherpa-onnx passes to an LSTM, which runs over all of them after each label."""

NEVER = -1e30
"""Score of a class that is not allowed; finite, as sherpa-onnx does arithmetic with it."""


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The search settings that go into the graphs, named as in `SearchConfig`."""

    ctc_top_k: int = 0
    blank_skip: float = 1.0
    max_symbols: int = 10


class EncoderGraph(nn.Module):
    """From features to the joiner's input frames."""

    def __init__(self, model: Transducer, config: GraphConfig) -> None:
        super().__init__()
        conditioned = model.ctc is not None and model.ctc.feedback is not None
        self.acoustics = Acoustics(
            model, condition=SelfConditioning(model) if conditioned else None
        )
        self.projection, self.ctc = model.joiner.encoder_projection, model.ctc
        self.config = config
        self.num_allowed = min(config.ctc_top_k, model.vocab_size)

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, frames, bins), (N,) -> (N, T, J or J + K) and (N,)."""
        out, lengths, hidden = self.acoustics(x, x_lens)
        frames: Tensor = self.projection(out)
        if self.num_allowed or self.config.blank_skip < 1:
            assert self.ctc is not None
            log_probs = self.ctc.log_probs(hidden)
            if self.num_allowed:
                allowed = self._allowed(log_probs, lengths)[:, None].expand(-1, frames.shape[1], -1)
                frames = torch.cat([frames, allowed.to(frames.dtype)], dim=2)
            if self.config.blank_skip < 1:
                frames, lengths = self._kept(frames, log_probs[..., BLANK].exp(), lengths)
        if self.config.max_symbols > 1:
            copies = frames[:, :, None].expand(-1, -1, self.config.max_symbols, -1)
            frames, lengths = copies.flatten(1, 2), lengths * self.config.max_symbols
        return frames, lengths

    def _allowed(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """(N, K) classes, as `sampling.top_k` of the mean posterior gives them."""
        total = posterior_sum(log_probs, lengths)
        blank = torch.full_like(total[:, :1], torch.finfo(total.dtype).max)
        scores = torch.cat([blank, total[:, 1:]], dim=1)
        return scores.topk(self.num_allowed, dim=1).indices

    def _kept(self, frames: Tensor, blank: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The frames that `decoding.skip_blanks` keeps, or one frame if it keeps none."""
        dropped = padding_mask(lengths, frames.shape[1]) | (blank > self.config.blank_skip)
        kept = (~dropped).sum(dim=1).clamp(min=1)
        # Later frames rank lower, and dropped frames rank below all that are kept.
        number = torch.arange(frames.shape[1], device=frames.device)
        rank = -number - dropped.long() * frames.shape[1]
        order = rank.argsort(dim=1, descending=True)[:, : kept.max()]
        return frames.gather(1, order[..., None].expand(-1, -1, frames.shape[2])), kept


class StatelessDecoder(nn.Module):
    """From the last labels to the projected output of the predictor."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        assert isinstance(model.predictor, StatelessPredictor)
        self.predictor, self.projection = model.predictor, model.joiner.predictor_projection
        self.context = self.predictor.context

    def forward(self, y: Tensor) -> Tensor:
        """(N, context) labels, negative before the first, -> (N, J)."""
        y = y.clamp(min=BLANK)
        out: Tensor = self.projection(self.predictor.step(y[:, -1], y[:, :-1])[0])
        return out


class LstmDecoder(nn.Module):
    """From the last `LSTM_CONTEXT` labels to the projected output of the predictor."""

    context = LSTM_CONTEXT

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        assert isinstance(model.predictor, LstmPredictor)
        self.predictor, self.projection = model.predictor, model.joiner.predictor_projection

    def forward(self, y: Tensor) -> Tensor:
        """(N, context) labels, negative before the first, -> (N, J)."""
        known = (y >= BLANK).sum(dim=1)
        # Shift the labels to the left, and run only as many steps as there are labels.
        start = self.context - known
        moved = (torch.arange(self.context) + start[:, None]).clamp(max=self.context - 1)
        history = y.gather(1, moved).clamp(min=BLANK)[:, : known.max()]
        out = self.predictor(history)
        last = (known - 1)[:, None, None].expand(-1, 1, out.shape[2])
        projected: Tensor = self.projection(out.gather(1, last)[:, 0])
        return projected


def decoder_of(model: Transducer) -> StatelessDecoder | LstmDecoder:
    """The graph of the model's predictor.

    Raises:
        ValueError: where it is neither of ours.
    """
    if isinstance(model.predictor, StatelessPredictor):
        return StatelessDecoder(model)
    if isinstance(model.predictor, LstmPredictor):
        return LstmDecoder(model)
    raise UserError(
        f"the model's predictor is {type(model.predictor).__name__}, format onnx needs an LSTM or "
        "a stateless one"
    )


class JoinerGraph(nn.Module):
    """From a frame and a predictor output to logits."""

    def __init__(self, model: Transducer, config: GraphConfig) -> None:
        super().__init__()
        self.joiner, self.width = model.joiner, model.joiner.width
        self.num_allowed = min(config.ctc_top_k, model.vocab_size)
        self.vocab_size = model.vocab_size

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        """(N, J or J + K), (N, J) -> (N, V)."""
        hidden = self.joiner.hidden(encoder_out[:, : self.width], decoder_out)
        layer = self.joiner.output
        if not self.num_allowed:
            every: Tensor = layer(hidden)
            return every
        allowed = encoder_out[:, self.width :].round().long()
        logits = torch.bmm(layer.weight[allowed], hidden[:, :, None])[..., 0] + layer.bias[allowed]
        nothing = torch.full_like(layer.bias, NEVER)[None].repeat(hidden.shape[0], 1)
        return nothing.scatter(1, allowed, logits)
