"""Configurations: their fields, what must hold of them, and their form as JSON."""

from icefall_sampled.config.checks import check
from icefall_sampled.config.decoding import DecodeConfig, SearchConfig, results_folder, settings_of
from icefall_sampled.config.fields import (
    Config,
    CtcConfig,
    DataConfig,
    JoinerConfig,
    LossConfig,
    PrunedLossConfig,
    SamplingConfig,
    SpecAugmentConfig,
    TrainingConfig,
)
from icefall_sampled.config.json_text import from_json, leaves, to_json
from icefall_sampled.config.parts import (
    ConformerConfig,
    OptimizerConfig,
    PartConfig,
    PredictorConfig,
)

__all__ = [
    "Config",
    "ConformerConfig",
    "CtcConfig",
    "DataConfig",
    "DecodeConfig",
    "JoinerConfig",
    "LossConfig",
    "OptimizerConfig",
    "PartConfig",
    "PredictorConfig",
    "PrunedLossConfig",
    "SamplingConfig",
    "SearchConfig",
    "SpecAugmentConfig",
    "TrainingConfig",
    "check",
    "from_json",
    "leaves",
    "results_folder",
    "settings_of",
    "to_json",
]
