"""What recipes share: variants by the paper's names, programs, tables of results.

A recipe's train.py defines what is special about it in `base` and `variants`, and ends with
`run_training`; its decode.py names the sets, and ends with `run_decoding`.
"""

from icefall_sampled.recipes.programs import RecipeDecodeConfig, run_decoding, run_training
from icefall_sampled.recipes.variants import (
    auxiliaries,
    crossed,
    in_folders,
    softmaxes,
    with_auxiliary,
    with_pruned_loss,
)

__all__ = [
    "RecipeDecodeConfig",
    "auxiliaries",
    "crossed",
    "in_folders",
    "run_decoding",
    "run_training",
    "softmaxes",
    "with_auxiliary",
    "with_pruned_loss",
]
