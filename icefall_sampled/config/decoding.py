"""The options of searches and of the decoding program, and the names of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from icefall_sampled.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search method and its limits."""

    method: Literal["greedy", "beam", "time_sync_beam", "modified_beam", "fast_beam"] = "greedy"
    """Greedy; Graves' beam search (the paper's); time_sync_beam, which finds the same in a fraction
    of the time; modified beam search, at most one label per frame; or k2's fast beam search, also
    at most one label per frame, for stateless predictors."""
    beam: int = 10
    """Hypotheses that a beam search keeps; in fast_beam, contexts (the last labels)."""
    max_gap: float = 6.0
    """Beam searches but Graves' drop hypotheses this many nats behind the best; inf for never."""
    length_norm: bool = True
    """Whether hypotheses are ordered by nats per label."""
    ctc_top_k: int = 0
    """Allow only the K classes of highest mean CTC posterior, blank included; 0 for all."""
    blank_skip: float = 1.0
    """Frames whose CTC blank posterior is above this are not decoded; 1 decodes all."""
    max_symbols: int = 10
    """Most labels at one frame; always 1 in modified and fast beam search."""
    nbest: int = 1
    """Hypotheses of each utterance that are kept, the best first."""

    def validate(self) -> None:
        """Raise ValueError for the first field that cannot work."""
        for name, value, legal, rule in self._rules():
            if not legal:
                raise UserError(f"{name} is {value}, it must be {rule}")

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        return [
            ("beam", self.beam, self.beam >= 1, "at least 1"),
            ("max_gap", self.max_gap, self.max_gap > 0, "positive"),
            ("ctc_top_k", self.ctc_top_k, self.ctc_top_k >= 0, "0 or a number of classes"),
            ("blank_skip", self.blank_skip, 0 < self.blank_skip <= 1, "above 0 and at most 1"),
            ("max_symbols", self.max_symbols, self.max_symbols >= 1, "at least 1"),
            ("nbest", self.nbest, self.nbest >= 1, "at least 1"),
        ]


@dataclass(frozen=True, kw_only=True)
class DecodeConfig(SearchConfig):
    """How to decode; the config of the model comes from its checkpoint."""

    exp_dir: Path = Path("exp")
    """Folder of the training run; results go into it."""
    sets: tuple[str, ...] = ()
    """Test sets to decode; none means all of the recipe's."""
    avg: int = 5
    """How many of the latest checkpoints to average; 0 takes the best on dev."""
    max_duration_seconds: float = 200.0
    """Speech in one batch."""
    lang_dir: Path | None = None
    """Token table; by default the copy in the run's folder. It must be the same table."""
    use_averaged_model: bool = False
    """Take the mean of the weights during training, since the checkpoint before the latest `avg`;
    training keeps it with training.mean_every_steps."""
    model_code: Path | None = None
    """File whose functions made the model's own parts, where they are not of an installed package:
    its code is run."""
    chunk_frames: int | None = None
    """Encoder frames of an attention chunk, as in streaming with a model that was trained for it;
    0 for the whole utterance. By default the widest of training."""
    left_context_frames: int | None = None
    """Number of encoder frames before its chunk that a frame also attends to, -1 for all; by
    default as in training."""
    num_workers: int = 0
    """Processes that load batches."""
    max_rejected_percent: float = 1.0
    """Stop when a larger share of a test set than this cannot be read."""
    report: int = 0
    """How many utterances of each set, those with the most errors, to show on an HTML page; 0 for
    no page."""

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        chunk, left = self.chunk_frames, self.left_context_frames
        return [
            *super()._rules(),
            ("chunk_frames", chunk, chunk is None or chunk >= 0, "at least 0"),
            ("left_context_frames", left, left is None or left >= -1, "at least 0, or -1 for all"),
            ("avg", self.avg, self.avg >= 0, "at least 0"),
            ("max_duration_seconds", self.max_duration_seconds, self.max_duration_seconds > 0,
             "positive"),
            ("num_workers", self.num_workers, self.num_workers >= 0, "at least 0"),
            ("max_rejected_percent", self.max_rejected_percent,
             0 <= self.max_rejected_percent <= 100, "from 0 to 100"),
            ("report", self.report, self.report >= 0, "0 or a number of utterances"),
        ]  # fmt: skip


def settings_of(config: DecodeConfig) -> str:
    """The part of file names that distinguishes decoding runs of one model."""
    usual = SearchConfig()
    parts = [config.method, f"avg-{config.avg}" if config.avg else "best"]
    if config.use_averaged_model:
        parts.append("running-mean")
    if config.method != "greedy":
        parts.append(f"beam-{config.beam}")
        if config.max_gap != usual.max_gap:
            parts.append(f"gap-{config.max_gap:g}")
        if not config.length_norm:
            parts.append("no-length-norm")
    if config.ctc_top_k:
        parts.append(f"ctc-top-{config.ctc_top_k}")
    if config.blank_skip < 1:
        parts.append(f"blank-skip-{config.blank_skip:g}")
    if config.max_symbols != usual.max_symbols:
        parts.append(f"max-symbols-{config.max_symbols}")
    if config.chunk_frames is not None:
        parts.append(f"chunk-{config.chunk_frames}")
    if config.left_context_frames is not None:
        left = config.left_context_frames
        parts.append(f"left-{left if left >= 0 else 'all'}")
    return "-".join(parts)


def results_folder(config: DecodeConfig) -> Path:
    """Where the results go."""
    return config.exp_dir / config.method
