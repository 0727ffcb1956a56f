"""sherpa-onnx as its users run it, on an exported folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sherpa_onnx


def recognizer(folder: Path, **options: Any) -> sherpa_onnx.OfflineRecognizer:
    files = {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    return sherpa_onnx.OfflineRecognizer.from_transducer(
        **files, tokens=str(folder / "tokens.txt"), **options
    )


def recognize(
    runtime: sherpa_onnx.OfflineRecognizer, waves: list[np.ndarray], *, batch: int = 1
) -> list[Any]:
    """The result of each wave of 16 kHz samples between -1 and 1."""
    streams = []
    for wave in waves:
        stream = runtime.create_stream()
        stream.accept_waveform(16000, wave)
        streams.append(stream)
    for start in range(0, len(streams), batch):
        runtime.decode_streams(streams[start : start + batch])
    return [stream.result for stream in streams]
