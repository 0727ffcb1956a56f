"""Recognise speech while it is heard, with a model that was trained for it (encoder.causal).

    python -m icefall_sampled.transcribe.stream exp/streaming_example_ctc talk.mp3
    arecord -q -t raw -f S16_LE -r 16000 -c 1 |
        python -m icefall_sampled.transcribe.stream exported - --raw

MODEL is a folder written by icefall_sampled.export, or the folder of a training run. The source is
a file of any format that FFmpeg reads, or - for standard input. The format is detected from the
beginning of the file, and several seconds are read at a time: use --raw for a microphone.

On a terminal the text grows on one line; otherwise each change prints a line
`seconds<TAB>text so far`. The last line is the final result. Ctrl-C ends the stream, and the audio
so far is recognised.

Exit codes: 0 done; 1 the source could not be read to its end; 2 the arguments are wrong.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
import torch
import tyro
from torch import Tensor
from tyro.conf import Positional

from icefall_sampled import cli
from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.config import SearchConfig
from icefall_sampled.data.online_features import OnlineFbank
from icefall_sampled.decoding.recogniser import StreamingRecogniser
from icefall_sampled.errors import UserError
from icefall_sampled.export import open_model
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.streaming import streaming_context
from icefall_sampled.tokens import TokenTable
from icefall_sampled.transcribe.audio import Audio, Unreadable

STDIN = "-"
_PIECE_SAMPLES = SAMPLING_RATE // 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StreamConfig(SearchConfig):
    """What to listen to, with what, and how."""

    method: Literal["greedy", "modified_beam", "time_sync_beam"] = "greedy"
    """Greedy; beam search with one label a frame; or beam search with several labels a frame."""
    model: Positional[Path]
    """An exported folder, or the folder of a training run."""
    source: Positional[str] = STDIN
    """A file, or - for standard input."""
    raw: bool = False
    """The source is raw samples without a header: 16 kHz, mono, 16 bits, little-endian."""
    chunk_frames: int | None = None
    """Encoder frames in a chunk; by default the smallest chunk of training. Larger chunks give more
    accurate text with a longer delay."""
    left_context_frames: int | None = None
    """Encoder frames before the chunk that its frames attend to; by default as in training."""
    model_code: Path | None = None
    """File whose functions made the model's own parts, where they are not of an installed package:
    its code is run."""
    avg: int = 5
    """For a run, how many of the latest checkpoints to average; 0 takes the best on dev."""

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        chunk, left = self.chunk_frames, self.left_context_frames
        return [
            *super()._rules(),
            ("chunk_frames", chunk, chunk is None or chunk >= 1, "at least 1"),
            ("left_context_frames", left, left is None or left >= -1, "at least 0, or -1 for all"),
            ("avg", self.avg, self.avg >= 0, "at least 0"),
        ]  # fmt: skip


class Listener:
    """Recognises one audio stream, and holds the text so far."""

    def __init__(self, model: Transducer, tokens: TokenTable, config: StreamConfig) -> None:
        """Start a stream; the arguments are those of `StreamingRecogniser`.

        Raises:
            UserError: if the model was not trained for streaming.
        """
        context = streaming_context(model, config.chunk_frames, config.left_context_frames)
        if context is None:
            raise UserError(
                f"model is {config.model}, it must be one that was trained for streaming: its "
                f"encoder, {type(model.encoder).__name__}, encodes whole utterances only"
            )
        self._tokens, self._fbank = tokens, OnlineFbank()
        self._recogniser = StreamingRecogniser(model, context, config)
        self.chunk_ms = 1000 * model.frame_seconds * context.chunk_frames
        self.latency_ms = self._recogniser.latency_ms
        self.seconds = 0.0
        """Length of the audio so far."""
        self.text = ""

    def hear(self, samples: Tensor, *, final: bool = False) -> bool:
        """Process the next (n,) samples at 16 kHz; return whether the text has changed."""
        features, done = self._fbank.hear(samples, final=final), self._recogniser.done
        self._recogniser.hear(features[None], torch.tensor([len(features)]), final=final)
        self.seconds += len(samples) / SAMPLING_RATE
        if self._recogniser.done == done:
            return False
        before, best = self.text, self._recogniser.results()[0][0]
        self.text = self._tokens.decode(best.tokens)
        return self.text != before


def pieces(config: StreamConfig) -> Iterator[Tensor]:
    """The source's samples, at most a tenth of a second at a time.

    Raises:
        Unreadable: if it cannot be read to its end.
    """
    source = cast(BinaryIO, sys.stdin.buffer) if config.source == STDIN else Path(config.source)
    if config.raw:
        yield from _raw_pieces(source)
        return
    with Audio(source) as audio:
        for block in audio.blocks():
            yield from torch.from_numpy(block).split(_PIECE_SAMPLES)


def _raw_pieces(source: Path | BinaryIO) -> Iterator[Tensor]:
    try:
        stream = source.open("rb") if isinstance(source, Path) else source
        rest = b""
        while data := stream.read1(2 * _PIECE_SAMPLES):  # type: ignore[attr-defined]
            data = rest + data
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            samples = np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / 32768.0
            yield torch.from_numpy(samples)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def show(listener: Listener, *, final: bool = False) -> None:
    """Print the text so far: on a terminal in the same line, otherwise in a new line."""
    if not sys.stdout.isatty():
        print(f"{listener.seconds:.2f}\t{listener.text}", flush=True)
        return
    room = shutil.get_terminal_size().columns - 1
    text = listener.text if final else listener.text[-room:]
    print(f"\r\x1b[K{text}", end="\n" if final else "", flush=True)


def main() -> None:
    """The program."""
    config = cli.parse(StreamConfig(model=tyro.MISSING), description=__doc__ or "")
    config.validate()
    model, tokens = open_model(config.model, avg=config.avg, code=config.model_code)
    listener = Listener(model, tokens, config)
    logger.info(
        "chunks of %.0f ms: a sound waits %.0f ms at most before it is looked at",
        listener.chunk_ms, listener.latency_ms,
    )  # fmt: skip
    problem = None
    try:
        for samples in pieces(config):
            if listener.hear(samples):
                show(listener)
    except KeyboardInterrupt:
        pass
    except Unreadable as error:
        problem = str(error)
    listener.hear(torch.zeros(0), final=True)
    show(listener, final=True)
    if problem is not None:
        logger.error("cannot read %s: %s", config.source, problem)
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
