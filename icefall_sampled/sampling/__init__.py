"""The choice of classes for the softmax: sampling distributions and sampled vocabularies."""

from icefall_sampled.sampling.distribution import mean_posterior, top_k
from icefall_sampled.sampling.vocabulary import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    sample_vocabulary,
)

__all__ = [
    "SampledVocabulary",
    "likely_vocabulary",
    "max_positives",
    "mean_posterior",
    "sample_vocabulary",
    "top_k",
]
