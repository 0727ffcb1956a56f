"""Models whose training does what a test wants, and factories that make them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from icefall_sampled.config import Config
from icefall_sampled.modeling import Factories, Transducer


@dataclass(frozen=True, kw_only=True)
class Watched(Factories):
    """Calls a function with each model that it makes."""

    watch: Callable[[Transducer], object]

    def model(self, config: Config, vocab_size: int) -> Transducer:
        model = super().model(config, vocab_size)
        self.watch(model)
        return model


def stop_after(
    model: Transducer, passes: int, number: signal.Signals = signal.SIGTERM
) -> Transducer:
    """Let a model raise a real signal in its n-th forward pass of training."""
    left = passes

    def count(*_: object) -> None:
        nonlocal left
        if model.encoder.training:  # type: ignore[attr-defined]
            left -= 1
            if left == 0:
                signal.raise_signal(number)

    model.encoder.register_forward_pre_hook(count)  # type: ignore[attr-defined]
    return model


def stopping_after(passes: int, number: signal.Signals = signal.SIGTERM) -> Factories:
    """Factories for `train`, of a model that raises a signal in its n-th pass of training."""
    return Watched(watch=lambda model: stop_after(model, passes, number))
