"""What a report shows of an utterance: errors, audio, features, and the time of each label."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from numpy.typing import NDArray
from torch import Tensor

from icefall_sampled.audio import FRAME_SECONDS
from icefall_sampled.data import read_cuts
from icefall_sampled.data.loading import ordered_batches
from icefall_sampled.data.shar import keep, shar_of
from icefall_sampled.decoding.ctc_alignment import align_ctc
from icefall_sampled.decoding.jsonl import Decoded
from icefall_sampled.decoding.scoring import Result, count_errors
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.errors import UserError, unreadable
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import CharTokens, TokenTable


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A label and its place in time."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Everything that is shown of an utterance."""

    result: Result
    """In the units in which errors are counted: words or characters."""
    confidence: float
    features: NDArray[np.float32]
    """(frames, bins), 10 ms from one frame to the next."""
    emitted: list[Mark]
    """The hypothesis, as the transducer emitted it."""
    aligned: list[Mark]
    """The reference, as CTC aligns it."""
    aligned_note: str = ""
    """Why there is no alignment, where there is none."""
    audio: NDArray[np.float32] | None = None
    """(samples, channels)."""
    sampling_rate: int = 0
    audio_note: str = ""
    """Why there is no audio, where there is none."""

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return errors_of(self.result)

    @property
    def seconds(self) -> float:
        """The length of the features."""
        return FRAME_SECONDS * len(self.features)


def errors_of(result: Result) -> int:
    """Substitutions, deletions and insertions of an utterance."""
    return count_errors(result.reference, result.hypothesis).total


def in_units(result: Result, tokens: TokenTable) -> Result:
    """The result in the units in which errors are counted: characters for `CharTokens`."""
    return result.in_characters() if isinstance(tokens, CharTokens) else result


@torch.no_grad()
def entries(
    decoded: Collection[Decoded],
    cuts: CutSet,
    model: Transducer,
    tokens: TokenTable,
    *,
    manifest: Path | None = None,
    max_duration_seconds: float = 200.0,
) -> Iterator[Entry]:
    """Encode some utterances again, for data that decoding does not keep of all utterances.

    Args:
        decoded: the utterances.
        cuts: the test set, with these among others.
        model: in eval mode.
        tokens: its vocabulary.
        manifest: the file that the cuts were read from. Mixed or sharded cuts with stored features
            have no audio; it is found through the manifest that prepare.sh made before.
        max_duration_seconds: speech in one batch.

    Yields:
        An entry for each utterance that can be read, the longest first.
    """
    wanted = {utterance.id: utterance for utterance in decoded}
    chosen = keep(cuts, lambda cut: cut.id in wanted)
    with_audio = find_audio(wanted.keys(), chosen, manifest)
    device = next(model.parameters()).device
    for batch in ordered_batches(chosen, tokens, max_duration_seconds=max_duration_seconds):
        if not batch.ids:
            continue
        on_device = batch.to(device)
        encoded = model.encode(on_device.features, on_device.lengths)
        log_probs = None if model.ctc is None else model.ctc_log_probs(encoded)
        for row, utterance_id in enumerate(batch.ids):
            utterance = wanted[utterance_id]
            best = utterance.nbest[0]
            own = None if log_probs is None else log_probs[row, : int(encoded.lengths[row])]
            labels = batch.targets[row, : int(batch.target_lengths[row])].tolist()
            aligned, aligned_note = _aligned(own, labels, tokens, model.frame_seconds)
            audio, sampling_rate, audio_note = _load(with_audio.get(utterance_id))
            yield Entry(
                result=in_units(utterance.result(tokens), tokens),
                confidence=best.confidence,
                features=batch.features[row, : int(batch.lengths[row])].numpy(),
                emitted=_emitted(best, tokens, model.frame_seconds),
                aligned=aligned,
                aligned_note=aligned_note,
                audio=audio,
                sampling_rate=sampling_rate,
                audio_note=audio_note,
            )


def _emitted(found: Hypothesis, tokens: TokenTable, frame_seconds: float) -> list[Mark]:
    """The labels of a hypothesis where they were emitted."""
    return [
        Mark(
            text=tokens.piece(token),
            start_seconds=frame * frame_seconds,
            end_seconds=(frame + 1) * frame_seconds,
            probability=math.exp(log_prob),
        )
        for token, frame, log_prob in zip(
            found.tokens, found.frames, found.token_log_probs, strict=True
        )
    ]


def _aligned(
    log_probs: Tensor | None, labels: list[int], tokens: TokenTable, frame_seconds: float
) -> tuple[list[Mark], str]:
    """CTC's alignment of the reference, or why there is none."""
    if log_probs is None:
        return [], "the model has no CTC head"
    try:
        spans = align_ctc(log_probs, labels)
    except UserError as error:
        return [], str(error)
    marks = [
        Mark(
            text=tokens.piece(label),
            start_seconds=span.first * frame_seconds,
            end_seconds=(span.last + 1) * frame_seconds,
            probability=float(log_probs[span.first : span.last + 1, label].max().exp()),
        )
        for label, span in zip(labels, spans, strict=True)
    ]
    return marks, ""


def find_audio(wanted: Collection[str], cuts: CutSet, manifest: Path | None) -> dict[str, Cut]:
    """The cuts that have a recording: the set's own, or else those it was prepared from.

    prepare.sh makes `data/fbank/X_cuts_SET.jsonl.gz` from
    `data/manifests/X_cuts_raw_SET.jsonl.gz` by computing features. For mixed cuts, and in Shar, the
    former has features but no audio.
    """
    # Shar's tars have features only, and looking into them takes as long as reading them all.
    own = [] if shar_of(cuts) is not None else cuts
    found = {cut.id: cut for cut in own if cut.has_recording}
    raw = None if manifest is None else _raw_manifest(manifest)
    if len(found) < len(wanted) and raw is not None:
        others = read_cuts(raw, argument="the manifest with the audio")
        found |= {c.id: c for c in others if c.id in wanted and c.id not in found}
    return found


def _raw_manifest(manifest: Path) -> Path | None:
    name = manifest.name.replace("_cuts_", "_cuts_raw_", 1)
    raw = manifest.parent.parent / "manifests" / name
    return raw if raw.is_file() else None


def _load(cut: Cut | None) -> tuple[NDArray[np.float32] | None, int, str]:
    """Samples and their rate, or why there are none."""
    if cut is None:
        return None, 0, "the manifest names no recording of this utterance"
    try:
        samples = np.atleast_2d(cut.load_audio()).T
    except Exception as error:  # codecs raise many types for a missing or broken file
        return None, 0, unreadable(error)
    return np.asarray(samples, dtype=np.float32), int(cut.sampling_rate), ""
