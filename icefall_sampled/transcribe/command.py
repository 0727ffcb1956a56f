"""Transcribe files of any length, batched together, and write the results in their order.

    python -m icefall_sampled.transcribe exp/example_ctc talk.mp3
    python -m icefall_sampled.transcribe exported recordings --format srt --output captions/
    ffmpeg … -f wav - | python -m icefall_sampled.transcribe exported - --format jsonl | jq .text

MODEL is a folder written by icefall_sampled.export, or the folder of a training run. FILES are
audio or video files, folders that are searched for them, or - for standard input. Results go to
standard output, everything else to standard error. As in grep, text lines begin with the file's
name if there are several files or a folder: `name<TAB>text`. JSONL has a line for each segment.

A file that cannot be read is reported with the reason, and the others are still transcribed. The
readable part of a damaged file is transcribed. With --output FOLDER/ each file has its own
transcript, written when it is complete; existing transcripts are not made again.

Exit codes: 0 everything is transcribed; 1 some file could not be read to its end; 2 the arguments
or the output are wrong; 130 interrupted.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from tqdm.contrib.logging import logging_redirect_tqdm
from tyro.conf import Positional

from icefall_sampled import cli
from icefall_sampled.config import SearchConfig
from icefall_sampled.errors import UserError
from icefall_sampled.export import open_model
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import TokenTable
from icefall_sampled.transcribe.audio import Unreadable
from icefall_sampled.transcribe.batches import Decoder
from icefall_sampled.transcribe.output import Output, open_output
from icefall_sampled.transcribe.progress import Progress
from icefall_sampled.transcribe.segments import Segment, cut
from icefall_sampled.transcribe.sources import STDIN, Source, find_sources, read_list
from icefall_sampled.transcribe.transcript import Transcript

_LONGEST_SECONDS = 30.0
_LONGEST_OVERLAP_SECONDS = 4.0
_WINDOW_BATCHES = 4
"""The segments of this many batches are sorted by length together, and held in memory."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TranscribeConfig(SearchConfig):
    """What to transcribe, with what, and how."""

    model: Positional[Path]
    """An exported folder, or the folder of a training run."""
    files: Positional[tuple[str, ...]] = ()
    """Files, folders, or - for standard input."""
    files_from: str | None = None
    """A file that lists more files, one a line; - for standard input."""
    format: Literal["text", "jsonl", "srt"] = "text"
    """A line of text, a line of JSON for each segment, or captions."""
    output: str | None = None
    """A file; or a folder, which exists or ends in a slash. By default standard output."""
    overwrite: bool = False
    """In a folder, transcribe again and replace existing transcripts."""
    model_code: Path | None = None
    """File whose functions made the model's own parts, where they are not of an installed package:
    its code is run."""
    avg: int = 5
    """For a run, how many of the latest checkpoints to average; 0 takes the best on dev."""
    max_segment_seconds: float | None = None
    """Longer files are cut; by default as long as training's longest utterance, at most 30."""
    overlap_seconds: float | None = None
    """Overlap of two segments if there is no pause to cut in; by default a quarter of a segment, at
    most 4."""
    max_batch_seconds: float = 200.0
    """Maximum speech in one batch, padding included; less if memory is short."""

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        longest, overlap = self.max_segment_seconds, self.overlap_seconds
        return [
            *super()._rules(),
            ("avg", self.avg, self.avg >= 0, "at least 0"),
            ("max_segment_seconds", longest, longest is None or 1 <= longest < math.inf,
             "at least 1, and finite"),
            ("overlap_seconds", overlap, overlap is None or overlap >= 0, "at least 0"),
            ("max_batch_seconds", self.max_batch_seconds, 0 < self.max_batch_seconds < math.inf,
             "positive, and finite"),
            ("files", self.files, not (self.files_from == STDIN and STDIN in self.files),
             "without -: files_from reads standard input"),
        ]  # fmt: skip


def transcribe(
    model: Transducer,
    tokens: TokenTable,
    sources: Sequence[Source],
    config: TranscribeConfig,
    *,
    progress: Progress | None = None,
) -> Iterator[Transcript]:
    """The transcripts in the order of the files, each once it and all before it are complete.

    A transcript with `problem` set could not be read to its end; it may have no parts.

    Raises:
        UserError: if the overlap is too long for the segments.
    """
    longest, overlap = _lengths(config, trained=model.config.data.max_utterance_seconds)
    decoder = Decoder(model, config, max_batch_seconds=config.max_batch_seconds)
    window: list[tuple[Transcript, Segment]] = []
    unfinished: list[Transcript] = []

    def decode() -> None:
        found = decoder.decode([segment.samples for _, segment in window])
        for (transcript, segment), nbest in zip(window, found, strict=True):
            transcript.add(segment, nbest, tokens, frame_seconds=model.frame_seconds)
            if progress is not None:
                progress.heard(transcript)
        window.clear()

    for source in sources:
        transcript = Transcript(source)
        unfinished.append(transcript)
        for segment in _segments(transcript, longest, overlap):
            transcript.waiting += 1
            window.append((transcript, segment))
            held = sum(segment.seconds for _, segment in window)
            if held >= _WINDOW_BATCHES * config.max_batch_seconds:
                decode()
                yield from _whole(unfinished)
    decode()
    yield from _whole(unfinished)


def _segments(transcript: Transcript, longest: float, overlap: float) -> Iterator[Segment]:
    """A file's segments; a failure to read it is noted in the transcript."""
    try:
        with transcript.source.open() as audio:
            transcript.declared_seconds = audio.seconds
            yield from cut(audio.blocks(), max_seconds=longest, overlap_seconds=overlap)
    except Unreadable as error:
        transcript.problem = str(error)
    transcript.is_read = True


def _whole(unfinished: list[Transcript]) -> Iterator[Transcript]:
    """Remove and yield the complete transcripts at the beginning of the list."""
    while unfinished and unfinished[0].is_whole:
        yield unfinished.pop(0)


def _lengths(config: TranscribeConfig, *, trained: float) -> tuple[float, float]:
    """The longest segment and the overlap, in seconds."""
    longest = config.max_segment_seconds or min(trained, _LONGEST_SECONDS)
    if longest > trained:
        logger.warning(
            "max_segment_seconds is %g, training had no utterance beyond %g s", longest, trained
        )
    overlap = config.overlap_seconds
    if overlap is None:
        overlap = min(longest / 4, _LONGEST_OVERLAP_SECONDS)
    if overlap > longest / 4:
        raise UserError(
            f"overlap_seconds is {overlap:g}, it must be at most a quarter of a segment, "
            f"which has {longest:g} s"
        )
    return longest, overlap


def _write_all(
    config: TranscribeConfig,
    model: Transducer,
    tokens: TokenTable,
    sources: Sequence[Source],
    output: Output,
) -> bool:
    """Transcribe and write; return whether every file could be read to its end."""
    wanted = [source for source in sources if not output.is_done(source)]
    if len(wanted) < len(sources):
        logger.info("%d of %d files are done already", len(sources) - len(wanted), len(sources))
    problems, seconds, started = 0, 0.0, time.perf_counter()
    with logging_redirect_tqdm(), Progress(wanted) as progress:
        for transcript in transcribe(model, tokens, wanted, config, progress=progress):
            if transcript.problem is not None:
                problems += 1
                _report(transcript)
            if transcript.seconds or transcript.problem is None:
                output.write(transcript)
            seconds += transcript.seconds
            progress.finished(transcript)
    took = time.perf_counter() - started
    logger.info(
        "%d files, %d with problems: %.1f s of sound in %.1f s",
        len(wanted),
        problems,
        seconds,
        took,
    )
    return not problems


def _report(transcript: Transcript) -> None:
    name = transcript.source.name.encode("utf-8", errors="backslashreplace").decode("utf-8")
    if transcript.seconds:
        logger.error("%s is damaged: %s; the rest is transcribed", name, transcript.problem)
    else:
        logger.error("cannot read %s: %s", name, transcript.problem)


def main() -> None:
    """The program."""
    config = cli.parse(TranscribeConfig(model=tyro.MISSING), description=__doc__ or "")
    config.validate()
    names = [*config.files, *(read_list(config.files_from) if config.files_from else [])]
    sources = find_sources(names)
    with_name = len(sources) > 1 or any(Path(name).is_dir() for name in names)
    with open_output(
        config.output,
        sources,
        format=config.format,
        overwrite=config.overwrite,
        with_name=with_name,
    ) as output:
        model, tokens = open_model(config.model, avg=config.avg, code=config.model_code)
        all_read = _write_all(config, model, tokens, sources, output)
    if not all_read:
        sys.exit(1)
