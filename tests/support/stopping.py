"""A model that stops its own process at a step that the test chooses."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from icefall_sampled.config import Config
from icefall_sampled.modeling import Losses, Transducer


class Stopping(Transducer):
    """Raises a real signal in its n-th forward pass of training."""

    passes_left = -1
    number = signal.SIGTERM

    def forward(self, *arguments: Any, **named: Any) -> Losses:
        if self.training:
            self.passes_left -= 1
            if self.passes_left == 0:
                signal.raise_signal(self.number)
        return super().forward(*arguments, **named)


def stopping_after(
    passes: int, number: signal.Signals = signal.SIGTERM
) -> Callable[[Config, int], Transducer]:
    """A make_model for `train`."""

    def make_model(config: Config, vocab_size: int) -> Transducer:
        model = Stopping(config, vocab_size)
        model.passes_left, model.number = passes, number
        return model

    return make_model
