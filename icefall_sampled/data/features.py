"""The features that models are trained on, for computing them from audio on the fly."""

from __future__ import annotations

from typing import Any


def make_fbank() -> Any:
    """Lhotse's extractor of 80 log-mel filterbanks every 10 ms, as preparation computes them."""
    from lhotse.features.kaldifeat import KaldifeatFbank, KaldifeatFbankConfig

    return KaldifeatFbank(KaldifeatFbankConfig())
