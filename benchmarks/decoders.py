"""The measured searches: ours, the plain loop over nodes, and torchaudio's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.config import ConformerConfig, SearchConfig
from icefall_sampled.decoding.search import search
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.conformer import Conformer
from icefall_sampled.modeling.encoder import subsampling
from icefall_sampled.tokens import BLANK

Labels = list[int]
Decode = Callable[[Transducer, Encoded, SearchConfig], list[Labels]]


def ours(model: Transducer, encoded: Encoded, config: SearchConfig) -> list[Labels]:
    """Any of this project's searches, called as in decode.py."""
    return [best[0].tokens for best in search(model, encoded, config)]


@torch.no_grad()
def one_by_one(model: Transducer, encoded: Encoded, config: SearchConfig) -> list[Labels]:
    """Greedy search as a plain loop: utterance by utterance, node by node."""
    joiner, predictor, found = model.joiner, model.predictor, []
    for frames, length in zip(encoded.out, encoded.lengths.tolist(), strict=True):
        labels: Labels = []
        projected = joiner.encoder_projection(frames[:length])
        start = torch.zeros(1, dtype=torch.int64)
        out, state = predictor.step(start, predictor.initial_state(1, frames.device))
        predicted = joiner.predictor_projection(out)
        for frame in projected:
            for _ in range(config.max_symbols):
                label = int(joiner.output(joiner.hidden(frame[None], predicted)).argmax())
                if label == BLANK:
                    break
                labels.append(label)
                out, state = predictor.step(torch.tensor([label]), state)
                predicted = joiner.predictor_projection(out)
        found.append(labels)
    return found


@torch.no_grad()
def torchaudio_beam(model: Transducer, encoded: Encoded, config: SearchConfig) -> list[Labels]:
    """RNNTBeamSearch, utterance by utterance, because it takes no batch."""
    from torchaudio.models import RNNTBeamSearch  # type: ignore[import-not-found]

    V = model.vocab_size
    # In torchaudio blank is the last class, as in its own models; here it is the first.
    decoder = RNNTBeamSearch(_AsRnnt(model), V - 1, step_max_tokens=config.max_symbols)
    found = []
    for frames, length in zip(encoded.out, encoded.lengths, strict=True):
        best = decoder(frames[: int(length)], length[None], config.beam)[0]
        found.append([label + 1 for label in best[0][1:]])  # the first label is the start symbol
    return found


class _AsRnnt(torch.nn.Module):
    """The model interface of RNNTBeamSearch; our label k is its label k - 1."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        self._joiner, self._predictor, self._size = model.joiner, model.predictor, model.vocab_size
        output = model.joiner.output
        self._weight, self._bias = output.weight.roll(-1, 0), output.bias.roll(-1, 0)

    def transcribe(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames: the encoder has already been called."""
        return self._joiner.encoder_projection(frames), lengths

    def predict(
        self, labels: Tensor, lengths: Tensor, state: list[list[Tensor]] | None
    ) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        """(n, 1) labels -> (n, 1, J) and the state, whose parts are (n, …)."""
        before = (
            self._predictor.initial_state(len(labels), labels.device)
            if state is None
            else state[0][0]
        )
        out, after = self._predictor.step((labels[:, 0] + 1) % self._size, before)
        return self._joiner.predictor_projection(out)[:, None], lengths, [[after]]

    def join(
        self, frames: Tensor, frame_lengths: Tensor, predicted: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(1, 1, J) and (n, 1, J) -> (n, 1, 1, V)."""
        hidden = self._joiner.hidden(frames[:, :, None], predicted[:, None])
        return torch.nn.functional.linear(hidden, self._weight, self._bias), frame_lengths, lengths


@cache
def _conformer_m() -> Conformer:
    return Conformer(ConformerConfig()).eval()


@torch.no_grad()
def encoder(model: Transducer, encoded: Encoded, config: SearchConfig) -> list[Labels]:
    """No search: the paper's Conformer-M with random weights, on the same amount of audio."""
    lengths = (encoded.lengths * subsampling(model.encoder)).long()
    features = torch.randn(len(lengths), int(lengths.max()), NUM_MEL_BINS)
    _conformer_m()(features, lengths)
    return [[] for _ in lengths]


@dataclass(frozen=True)
class Decoder:
    """A measured search."""

    decode: Decode
    package: str = ""
    """The package of a peer."""
    slow: bool = False
    """Whether it takes seconds for each utterance: then it is measured once, on a few of them."""


METHODS: dict[str, Decoder] = {
    "encoder": Decoder(encoder),
    "one by one": Decoder(one_by_one),
    "greedy": Decoder(ours),
    "modified_beam": Decoder(ours),
    "time_sync_beam": Decoder(ours),
    "beam": Decoder(ours, slow=True),
    "fast_beam": Decoder(ours, "k2"),
    "torchaudio": Decoder(torchaudio_beam, "torchaudio", slow=True),
}
"""`fast_beam` is k2's search: RnntDecodingStreams do everything except the model's computation."""


def search_config(method: str, fields: dict[str, Any]) -> SearchConfig:
    """The config of a method; for a peer it gives the beam and the limit of labels."""
    name = method if METHODS[method].decode is ours else "greedy"
    return SearchConfig(method=name, **fields)  # type: ignore[arg-type]
