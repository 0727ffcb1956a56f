"""The command that exports: `python -m icefall_sampled.export --exp-dir DIR --out DIR`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from icefall_sampled import checkpoint, cli
from icefall_sampled.config import SearchConfig
from icefall_sampled.errors import UserError
from icefall_sampled.export.folder import ExportError, is_folder, open_model, save_folder
from icefall_sampled.export.onnx import save_onnx
from icefall_sampled.export.onnx_networks import GraphConfig
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.factories import MadeBy
from icefall_sampled.tokens import OWN_TABLE

logger = logging.getLogger(__name__)

Format = Literal["safetensors", "onnx"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Which model, where to, and in what."""

    exp_dir: Path = Path("exp")
    """Folder of the training run, or a folder exported with safetensors."""
    out: Path = Path("exported")
    """Folder for the files."""
    format: tuple[Format, ...] = ("safetensors", "onnx")
    """safetensors for this package, onnx for sherpa-onnx."""
    avg: int = 5
    """How many of the latest checkpoints to average; 0 takes the best on dev."""
    lang_dir: Path | None = None
    """Token table; by default that of training. It must be the same table."""
    model_code: Path | None = None
    """File whose functions made the model's own parts, where they are not of an installed package:
    its code is run."""
    max_symbols: int = 10
    """onnx: maximum labels at one frame. Each frame is searched this many times."""
    ctc_top_k: int = 0
    """onnx: allow only the K classes of highest mean CTC posterior, blank included; 0 for all."""
    blank_skip: float = 1.0
    """onnx: frames whose CTC blank posterior is above this are not decoded; 1 decodes all."""

    def validate(self) -> None:
        """Raise ValueError for the first invalid field."""
        SearchConfig(
            max_symbols=self.max_symbols, ctc_top_k=self.ctc_top_k, blank_skip=self.blank_skip
        ).validate()
        if self.avg < 0:
            raise UserError(f"avg is {self.avg}, it must be at least 0")
        if not self.format:
            raise UserError("format is empty, it must name one at least")
        if self.out.exists() and self.exp_dir.exists() and self.out.samefile(self.exp_dir):
            raise UserError(f"out is {self.out}, it must be another folder than exp_dir")
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"out is {self.out}, it must be a folder")
        if checkpoint.find(self.out):
            raise UserError(f"out is {self.out}, it must not be the folder of a training run")


def export(config: ExportConfig, *, made_by: MadeBy | None = None) -> None:
    """Write a model in the formats that the config names.

    Args:
        config: the model, the folder and the formats.
        made_by: the factories of a model with parts of its own (see `load_averaged`).

    Raises:
        ValueError: if the model cannot be read, or cannot be exported in a format.
        OSError: if a file cannot be written.
    """
    config.validate()
    model, _ = open_model(
        config.exp_dir, avg=config.avg, lang_dir=config.lang_dir, made_by=made_by,
        code=config.model_code,
    )  # fmt: skip
    model = model.cpu()
    lang_dir = config.exp_dir if is_folder(config.exp_dir) else config.lang_dir
    own = config.exp_dir / OWN_TABLE
    lang_dir = lang_dir or (own if own.is_dir() else model.config.data.lang_dir)
    if model.ctc is None and (config.ctc_top_k or config.blank_skip < 1):
        raise ExportError("ctc_top_k and blank_skip need a CTC head, this model has none")
    with _writing(config.out):
        _write(config, model, lang_dir)
    logger.info("%s: %s", config.out, ", ".join(sorted(path.name for path in config.out.iterdir())))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Name the folder in errors of writing to it."""
    try:
        yield
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror or error}") from error


def _write(config: ExportConfig, model: Transducer, lang_dir: Path) -> None:
    if "safetensors" in config.format:
        save_folder(config.out, model, lang_dir=lang_dir)
    if "onnx" in config.format:
        graphs = GraphConfig(
            ctc_top_k=config.ctc_top_k,
            blank_skip=config.blank_skip,
            max_symbols=config.max_symbols,
        )
        save_onnx(config.out, model, graphs, lang_dir=lang_dir)


def main() -> None:
    """Read the command line and export."""
    export(cli.parse(ExportConfig(), description=__doc__ or ""))
