"""Starting from a trained model: with another vocabulary, other sizes or another softmax.

What fits by name and shape is taken. Rows that belong to a token (the output layers, the embedding)
are taken by the token's text, so a model of 500 pieces starts one of 2,000. The rest is new. Where
the encoder is icefall's (docs/encoders.md), icefall's own checkpoints are read likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.files import replacing
from icefall_sampled.tokens import TokenTable, find_token_file, load_tokens
from icefall_sampled.training.objective import Objective

WEIGHTS = "model.safetensors"
"""The weights in an exported folder."""
REPORT = "init.txt"
"""The file in the run's folder that says what was taken."""

ICEFALL = {
    "encoder_embed.": "model.encoder.encoder_embed.",
    "encoder.": "model.encoder.encoder.",
    "decoder.embedding.": "model.predictor.embedding.",
    "decoder.conv.": "model.predictor.convolution.",
    "joiner.encoder_proj.": "model.joiner.encoder_projection.",
    "joiner.decoder_proj.": "model.joiner.predictor_projection.",
    "joiner.output_linear.": "model.joiner.output.",
    "ctc_output.1.": "model.ctc.output.",
    "simple_am_proj.": "simple.encoder.",
    "simple_lm_proj.": "simple.predictor.",
}
"""The beginnings of names in icefall's checkpoints, and what is called so here."""

logger = logging.getLogger(__name__)


@dataclass
class Started:
    """What became of each weight."""

    taken: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    """Weights of the new model that keep their random values, with the reason."""
    left: list[str] = field(default_factory=list)
    """Weights of the old model that the new one has no use for."""

    def report(self, source: Path) -> str:
        """A line for each weight."""
        lines = [f"started from {source}"]
        for kind in ("taken", "new", "left"):
            lines += [f"{kind}\t{name}" for name in getattr(self, kind)]
        return "\n".join(lines) + "\n"


def start_from(
    source: Path, objective: Objective, tokens: TokenTable, *, lang_dir: Path | None = None
) -> Started:
    """Copy into a new model what it can take of a trained one.

    Args:
        source: a checkpoint, the folder of a run (its best checkpoint, else its latest), or an
            exported folder.
        objective: with random weights.
        tokens: its vocabulary.
        lang_dir: folder of the trained model's token table; by default the one beside its weights.

    Raises:
        CheckpointError: where there is no such model, it is damaged, or nothing of it fits.
    """
    old, folder = read_weights(source)
    table = find_token_file(lang_dir or folder)
    rows = None if table is None else _same_tokens(load_tokens(table.parent), tokens)
    started, taken = Started(), set[str]()
    dimensions = token_dimensions(objective)
    new = dict(_named_tensors(objective))
    with torch.no_grad():
        for name, target in new.items():
            if name not in old:
                started.new.append(f"{_short(name)} (the trained model has none)")
                continue
            taken.add(name)
            fits, remark = _copy(old[name], target, dimensions.get(name), rows)
            line = f"{_short(name)} ({remark})" if remark else _short(name)
            (started.taken if fits else started.new).append(line)
    started.left = sorted(_short(name) for name in set(old) - taken)
    if not started.taken:
        raise CheckpointError(f"training.init_from is {source}, nothing of it fits this model")
    logger.info(
        "started from %s: %d weights taken, %d new, %d left (%s says which)",
        source, len(started.taken), len(started.new), len(started.left), REPORT,
    )  # fmt: skip
    return started


def write_report(exp_dir: Path, started: Started, source: Path) -> None:
    """Write `init.txt` into the run's folder."""
    with replacing(exp_dir / REPORT) as temporary:
        temporary.write_text(started.report(source), encoding="utf-8")


def read_weights(source: Path) -> tuple[dict[str, Tensor], Path]:
    """The weights of a trained model by their names in `Objective`, and their folder.

    Raises:
        CheckpointError: where there is no model, or a damaged one.
    """
    if source.is_dir() and (source / WEIGHTS).is_file():
        try:
            return _prefixed(load_file(str(source / WEIGHTS))), source
        except Exception as error:  # safetensors' own, of a damaged file
            raise CheckpointError(f"training.init_from is {source}: {error}") from error
    path = source
    if source.is_dir():
        found = checkpoint.find(source)
        best = source / checkpoint.BEST
        if not best.is_file() and not found:
            raise CheckpointError(f"training.init_from is {source}, there is no model in it")
        path = best if best.is_file() else found[-1]
    state = checkpoint.read(path)
    model: Any = state.get("model", state)
    if not isinstance(model, dict) or not any(isinstance(v, Tensor) for v in model.values()):
        raise CheckpointError(f"training.init_from is {path}, there are no weights in it")
    weights = {name: value for name, value in model.items() if isinstance(value, Tensor)}
    if "factories" in state:
        return _prefixed(weights) | state.get("objective", {}), path.parent
    return _of_icefall(weights), path.parent


def _prefixed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": value for name, value in weights.items()}


def _of_icefall(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of icefall by our names; others keep theirs, below `model.`."""
    renamed = {}
    for name, value in weights.items():
        name = name.removeprefix("module.")  # of DDP
        known = next((old for old in ICEFALL if name.startswith(old)), None)
        ours = f"model.{name}" if known is None else ICEFALL[known] + name.removeprefix(known)
        renamed[ours] = value
    return renamed


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def token_dimensions(objective: Objective) -> dict[str, int]:
    """The dimension of the vocabulary in each weight that has one."""
    model = objective.model
    found: dict[str, int] = {}
    outputs: list[tuple[str, nn.Module | None]] = [
        ("model.joiner.output", model.joiner.output),
        ("model.ctc.output", None if model.ctc is None else model.ctc.output),
        ("simple.encoder", objective.simple and objective.simple.encoder),
        ("simple.predictor", objective.simple and objective.simple.predictor),
    ]
    for name, layer in outputs:
        if layer is not None:
            found |= {f"{name}.weight": 0, f"{name}.bias": 0}
    if model.ctc is not None and model.ctc.feedback is not None:
        found["model.ctc.feedback.weight"] = 1
    for name, module in objective.named_modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == model.vocab_size:
            found[f"{name}.weight"] = 0
    return found


def _same_tokens(old: TokenTable, new: TokenTable) -> tuple[Tensor, Tensor]:
    """The ids of the tokens that both tables have: in the old one, and in the new one."""
    ids = {old.piece(i): i for i in range(old.vocab_size)}
    both = [(ids[p], i) for i in range(new.vocab_size) if (p := new.piece(i)) in ids]
    before, after = zip(*both, strict=True)  # blank is in all tables
    return torch.tensor(before), torch.tensor(after)


def _copy(
    source: Tensor, target: Tensor, dimension: int | None, rows: tuple[Tensor, Tensor] | None
) -> tuple[bool, str]:
    """Copy a weight, or its rows of common tokens; whether it fits, and a remark for the report."""
    shapes = [list(source.shape), list(target.shape)]
    differ = f"{tuple(source.shape)} there, {tuple(target.shape)} here"
    if dimension is None:
        if shapes[0] != shapes[1]:
            return False, differ
        target.copy_(source)
        return True, ""
    if rows is None:
        return False, "no token table beside the trained model: training.init_lang_dir names one"
    for shape in shapes:
        del shape[dimension : dimension + 1]
    if shapes[0] != shapes[1]:
        return False, differ
    before, after = (ids.to(target.device) for ids in rows)
    chosen = source.to(target).index_select(dimension, before)
    target.index_copy_(dimension, after, chosen)
    missing = target.shape[dimension] - len(after)
    return True, f"{missing} of {target.shape[dimension]} tokens are new" if missing else ""


def _short(name: str) -> str:
    return name.removeprefix("model.")
