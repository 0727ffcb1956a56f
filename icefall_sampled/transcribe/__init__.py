"""Transcribe files of any length and format to text, JSON or captions.

python -m icefall_sampled.transcribe exp/example_ctc talk.mp3
"""

from icefall_sampled.transcribe.command import TranscribeConfig, transcribe
from icefall_sampled.transcribe.sources import Source, find_sources
from icefall_sampled.transcribe.transcript import Part, Transcript

__all__ = ["Part", "Source", "TranscribeConfig", "Transcript", "find_sources", "transcribe"]
