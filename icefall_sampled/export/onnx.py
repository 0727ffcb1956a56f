"""ONNX files for sherpa-onnx: encoder, decoder, joiner, and tokens.txt in its format.

    encoder.onnx    x (N, frames, 80), x_lens (N,) -> encoder_out (N, T, J), encoder_out_lens (N,)
    decoder.onnx    y (N, context) -> decoder_out (N, J)
    joiner.onnx     encoder_out (N, J), decoder_out (N, J) -> logit (N, V)

The decoder is this package's predictor. Names and metadata are those of icefall's exported
transducers, so sherpa-onnx treats the files as such.
"""

from __future__ import annotations

import importlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.errors import MissingPackage, first_line
from icefall_sampled.export.folder import ExportError
from icefall_sampled.export.onnx_networks import (
    EncoderGraph,
    GraphConfig,
    JoinerGraph,
    decoder_of,
)
from icefall_sampled.files import replacing
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.encoder import subsampling
from icefall_sampled.tokens import (
    BLANK_TOKEN,
    UNKNOWN_TOKEN,
    CharTokens,
    WordTokens,
    load_tokens,
    token_file,
)

OPSET = 13
TOKENS = "tokens.txt"


def save_onnx(folder: Path, model: Transducer, config: GraphConfig, *, lang_dir: Path) -> None:
    """Write the three networks and tokens.txt.

    Args:
        folder: created if it does not exist.
        model: on the CPU, in eval mode.
        config: the search settings that go into the graphs.
        lang_dir: folder of the token table.

    Raises:
        ExportError: if the CTC constraint or blank skip is asked for without a CTC head, or the
            encoder's graph does not give the encoder's numbers.
        ImportError: if the package onnx or onnxruntime is not installed.
    """
    if model.ctc is None and (config.ctc_top_k or config.blank_skip < 1):
        raise ExportError("ctc_top_k and blank_skip need a CTC head, this model has none")
    onnx, runtime = _package("onnx"), _package("onnxruntime")
    decoder = decoder_of(model)
    joiner = JoinerGraph(model, config)
    joint = joiner.width + joiner.num_allowed
    history = torch.full((2, decoder.context), -1, dtype=torch.int64)
    history[:, -1] = 0
    write = _Writer(folder, onnx)
    _write_encoder(write, EncoderGraph(model, config), model, config, runtime)
    write.graph("decoder", decoder, {
        "context_size": decoder.context, "vocab_size": model.vocab_size,
    }, {"y": (history, "N")}, {"decoder_out": "N"})  # fmt: skip
    write.graph("joiner", joiner, {"joiner_dim": joiner.width}, {
        "encoder_out": (torch.zeros(2, joint), "N"),
        "decoder_out": (torch.zeros(2, joiner.width), "N"),
    }, {"logit": "N"})  # fmt: skip
    _write_tokens(folder, lang_dir)


def _about(model: Transducer, config: GraphConfig) -> dict[str, object]:
    """Metadata of the encoder's file: what the runtime needs, and the settings in the graphs."""
    return {
        "model_type": "conformer",
        "version": 1,
        "model_author": "icefall_sampled",
        "subsampling": round(subsampling(model.encoder)),
        "ctc_top_k": min(config.ctc_top_k, model.vocab_size),
        "blank_skip": config.blank_skip,
        "max_symbols": config.max_symbols,
    }


def _write_encoder(
    write: _Writer, encoder: EncoderGraph, model: Transducer, config: GraphConfig, runtime: Any
) -> None:
    """Write encoder.onnx, or raise ExportError where there is no graph with the same numbers."""
    frames = model.encoder.min_input_frames + 80
    lengths = torch.tensor([frames, frames - 20])
    inputs = {"x": (torch.zeros(2, frames, NUM_MEL_BINS), "NT"), "x_lens": (lengths, "N")}
    path, name = write.folder / "encoder.onnx", type(model.encoder).__name__
    try:
        write.graph("encoder", encoder, _about(model, config), inputs,
                    {"encoder_out": "NT", "encoder_out_lens": "N"})  # fmt: skip
    except OnnxExporterError as error:
        raise ExportError(f"format onnx cannot be had of {name}: {first_line(error)}") from error
    quiet = runtime.SessionOptions()
    quiet.log_severity_level = 4
    if not _gives_the_same(runtime.InferenceSession(str(path), quiet), encoder, model):
        path.unlink()
        raise ExportError(
            f"format onnx cannot be had of {name}: its graph does not give its numbers for a batch "
            "of another size than the traced one"
        )


@torch.no_grad()
def _gives_the_same(session: Any, encoder: EncoderGraph, model: Transducer) -> bool:
    """Whether a graph gives the encoder's numbers for other sizes than those of its tracing.

    A number that an encoder takes from Python, such as `len(features)`, is a constant in the graph.
    """
    frames = model.encoder.min_input_frames + 123
    noise = torch.Generator().manual_seed(0)  # torch's own random numbers stay as they are
    x = torch.randn(3, frames, NUM_MEL_BINS, generator=noise)
    x_lens = torch.tensor([frames, frames - 40, frames])
    wanted, lengths = encoder(x, x_lens)
    try:
        found, counted = session.run(None, {"x": x.numpy(), "x_lens": x_lens.numpy()})
        joint = slice(model.joiner.width)  # behind it are the allowed classes
        close = np.allclose(found[..., joint], wanted[..., joint], rtol=0, atol=1e-2)
        return close and counted.tolist() == lengths.tolist()
    except Exception:  # onnxruntime's own, or numpy's where the shapes differ
        return False


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f"format onnx needs the package {name}: pip install {name}") from error


class _Writer:
    """Writes graphs with metadata into the files of one folder."""

    def __init__(self, folder: Path, onnx: Any) -> None:
        self.folder, self._onnx = folder, onnx
        folder.mkdir(parents=True, exist_ok=True)

    def graph(
        self,
        name: str,
        network: nn.Module,
        metadata: dict[str, object],
        inputs: dict[str, tuple[Tensor, str]],
        outputs: dict[str, str],
    ) -> None:
        """Trace a network and write it.

        Args:
            name: of the file, without .onnx.
            network: to trace.
            metadata: written into the file.
            inputs: by name, an example and a letter for each leading dimension, which is dynamic.
            outputs: by name, the letters of the dynamic dimensions.
        """
        letters = {name: axes for name, (_, axes) in inputs.items()} | outputs
        # Torch 2 has a second exporter; the one chosen here exists in both versions of torch.
        choice: dict[str, Any] = {} if torch.__version__.startswith("1.") else {"dynamo": False}
        with replacing(self.folder / f"{name}.onnx") as temporary:
            with warnings.catch_warnings(), torch.no_grad():
                # Warnings about tracing and an old exporter; the tests check the files.
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    network.eval(),
                    tuple(example for example, _ in inputs.values()),
                    str(temporary),
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_axes={k: dict(enumerate(axes)) for k, axes in letters.items()},
                    opset_version=OPSET,
                    **choice,
                )
            model = self._onnx.load(str(temporary))
            self._onnx.helper.set_model_props(model, {k: str(v) for k, v in metadata.items()})
            self._onnx.save(model, str(temporary))


def _write_tokens(folder: Path, lang_dir: Path) -> None:
    """Lines `token id`, with "▁" for the space before a word; character tables are copied."""
    tokens = load_tokens(lang_dir)
    with replacing(folder / TOKENS) as temporary:
        if isinstance(tokens, CharTokens):
            shutil.copyfile(token_file(lang_dir), temporary)
            return
        pieces = [tokens.piece(i) for i in range(tokens.vocab_size)]
        if isinstance(tokens, WordTokens):
            special = (BLANK_TOKEN, UNKNOWN_TOKEN)
            pieces = [piece if piece in special else f"▁{piece}" for piece in pieces]
        lines = [f"{piece} {i}\n" for i, piece in enumerate(pieces)]
        temporary.write_text("".join(lines), encoding="utf-8")
