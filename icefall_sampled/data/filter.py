"""The utterances that can be trained on or scored: the others are left out, by id and reason."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lhotse import CutSet
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_sampled.config import DataConfig
from icefall_sampled.data.cuts import input_frames, is_speed_perturbed, text_of
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.data.shar import keep
from icefall_sampled.errors import UserError
from icefall_sampled.tokens import TokenTable


def why_unusable(
    cut: Cut,
    tokens: TokenTable,
    *,
    output_frames: Callable[[int], int],
    allow_unknown: bool = False,
) -> str | None:
    """The reason why an utterance cannot be trained on or scored, None where it can be.

    Args:
        cut: with one supervision or more.
        tokens: encodes its text.
        output_frames: the encoder's frames from a number of input frames
            (`modeling.encoder.frame_counter`).
        allow_unknown: whether a token outside the table is no reason, as in sets that nothing is
            trained on: it is an error that every model makes, and belongs to what is measured.
    """
    text = text_of(cut)
    if not text:
        return "empty transcript"
    ids = tokens.encode(text)
    if tokens.unknown_id in ids and not allow_unknown:
        return f"token outside the table in {text!r}"
    # CTC needs a blank between two equal labels.
    needed = len(ids) + sum(a == b for a, b in pairwise(ids))
    available = output_frames(input_frames(cut))
    if needed > available:
        return f"{needed} encoder frames needed for its labels, {max(available, 0)} there"
    return None


def usable_cuts(
    cuts: CutSet,
    tokens: TokenTable,
    config: DataConfig,
    *,
    output_frames: Callable[[int], int],
    allow_unknown: bool = False,
    quiet: bool = False,
) -> tuple[CutSet, Rejects]:
    """Choose the cuts to train on or, where `allow_unknown`, to validate on.

    Cuts outside the wanted durations, or speed-perturbed where that is not wanted, are a choice
    of the config and not counted; what `why_unusable` names is. Where `quiet`, as in all
    processes but one, there is neither a progress bar nor a warning.

    Raises:
        TooManyRejects: where more than `config.max_rejected_percent` cannot be used.
        ValueError: where no cut is left.
    """
    reasons, total = [], 0
    bar = tqdm(desc="checking utterances", unit="cut", disable=quiet, leave=False)

    def wanted(cut: Cut) -> bool:
        nonlocal total
        bar.update()
        if is_speed_perturbed(cut.id) and not config.speed_perturbed:
            return False
        if not config.min_utterance_seconds <= cut.duration <= config.max_utterance_seconds:
            return False
        total += 1
        reason = why_unusable(cut, tokens, output_frames=output_frames, allow_unknown=allow_unknown)
        if reason is not None:
            reasons.append((cut.id, reason))
        return reason is None

    with bar:
        chosen = keep(cuts, wanted)
    rejects = Rejects(
        total,
        limit_percent=config.max_rejected_percent,
        option="--data.max-rejected-percent",
    )
    for utterance_id, reason in reasons:
        rejects.add(utterance_id, reason, quiet=quiet)
    rejects.check()
    if not len(chosen):
        raise UserError(f"data: none of {total} utterances can be used, at least one must be")
    return chosen, rejects
