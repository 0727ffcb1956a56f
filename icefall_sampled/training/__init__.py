"""The training loop and what it stands on."""

from icefall_sampled.training.trainer import train

__all__ = ["train"]
