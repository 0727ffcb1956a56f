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

import torch
from torch import Tensor, nn

from icefall_sampled.export.folder import ExportError
from icefall_sampled.export.onnx_networks import (
    Encoder,
    GraphConfig,
    Joiner,
    LstmDecoder,
    StatelessDecoder,
)
from icefall_sampled.files import replacing
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.subsampling import min_input_frames
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
        ExportError: if the CTC constraint or blank skip is asked for without a CTC head.
        ImportError: if the package onnx is not installed.
    """
    if model.ctc is None and (config.ctc_top_k or config.blank_skip < 1):
        raise ExportError("ctc_top_k and blank_skip need a CTC head, this model has none")
    onnx = _package()
    stateless = model.config.predictor.kind == "stateless"
    decoder = StatelessDecoder(model) if stateless else LstmDecoder(model)
    joiner = Joiner(model, config)
    joint = model.config.joiner.width + joiner.num_allowed
    frames = min_input_frames(model.config.encoder.subsampling) + 80
    features = torch.zeros(2, frames, model.config.encoder.num_features)
    history = torch.full((2, decoder.context), -1, dtype=torch.int64)
    history[:, -1] = 0
    write = _Writer(folder, onnx)
    write.graph("encoder", Encoder(model, config), _about(model, config), {
        "x": (features, "NT"), "x_lens": (torch.tensor([frames, frames - 20]), "N"),
    }, {"encoder_out": "NT", "encoder_out_lens": "N"})  # fmt: skip
    write.graph("decoder", decoder, {
        "context_size": decoder.context, "vocab_size": model.vocab_size,
    }, {"y": (history, "N")}, {"decoder_out": "N"})  # fmt: skip
    write.graph("joiner", joiner, {"joiner_dim": model.config.joiner.width}, {
        "encoder_out": (torch.zeros(2, joint), "N"),
        "decoder_out": (torch.zeros(2, model.config.joiner.width), "N"),
    }, {"logit": "N"})  # fmt: skip
    _write_tokens(folder, lang_dir)


def _about(model: Transducer, config: GraphConfig) -> dict[str, object]:
    """Metadata of the encoder's file: what the runtime needs, and the settings in the graphs."""
    return {
        "model_type": "conformer",
        "version": 1,
        "model_author": "icefall_sampled",
        "subsampling": model.config.encoder.subsampling,
        "ctc_top_k": min(config.ctc_top_k, model.vocab_size),
        "blank_skip": config.blank_skip,
        "max_symbols": config.max_symbols,
    }


def _package() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError("format onnx needs the package onnx: pip install onnx") from error


class _Writer:
    """Writes graphs with metadata into the files of one folder."""

    def __init__(self, folder: Path, onnx: Any) -> None:
        self._folder, self._onnx = folder, onnx
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
        with replacing(self._folder / f"{name}.onnx") as temporary:
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
