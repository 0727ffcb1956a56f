"""Widened models decide as before, peers are called rightly, and tables say what rows hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import bench_decoding, decoders, decoding_errors, decoding_plot, decoding_report
from benchmarks.decoding_worker import Setting, measure
from benchmarks.widened import Size, padded, widened, widened_state
from icefall_sampled.config import SearchConfig, to_json
from icefall_sampled.decoding.search import search
from icefall_sampled.modeling import Encoded, Transducer
from tests.support.tiny import changed, tiny_config, tiny_model

SIZE = Size(vocab_size=40, encoder=64, embedding=48, predictor=56, joiner=72)


def model_of(kind: str) -> Transducer:
    config = changed(tiny_config(), predictor={"kind": kind})
    return tiny_model(config, scale=3.0)


def speech(model: Transducer) -> Encoded:
    out = 3 * torch.randn(4, 20, model.config.encoder.width)
    return Encoded(out, torch.tensor([20, 13, 1, 17]), [])


@pytest.mark.parametrize("kind", ["lstm", "stateless"])
def test_a_widened_model_finds_the_same(kind: str) -> None:
    model = model_of(kind)
    encoded = speech(model)
    large = widened(model.config, widened_state(model, SIZE), SIZE)
    assert large.joiner.output.weight.shape == (40, 72) and large.vocab_size == 40
    for method in ("greedy", "time_sync_beam"):
        config = SearchConfig(method=method, beam=4, ctc_top_k=6, blank_skip=0.9)  # type: ignore[arg-type]
        small = search(model, encoded, config)
        wide = search(large, padded(encoded, SIZE), config)
        assert any(best[0].tokens for best in small)
        for a, b in zip(small, wide, strict=True):
            assert a[0].tokens == b[0].tokens and a[0].frames == b[0].frames
            assert a[0].log_prob == pytest.approx(b[0].log_prob, rel=1e-4, abs=1e-4)


def test_a_model_is_not_made_smaller() -> None:
    with pytest.raises(ValueError, match="vocab_size is 5"):
        widened_state(model_of("lstm"), Size(vocab_size=5))


@pytest.mark.parametrize("kind", ["lstm", "stateless"])
def test_the_loop_is_greedy_search(kind: str) -> None:
    model = model_of(kind)
    encoded, config = speech(model), SearchConfig()
    found = decoders.one_by_one(model, encoded, config)
    assert found == decoders.ours(model, encoded, config) and any(found)


@torch.no_grad()
def test_torchaudio_is_given_the_model_with_blank_last() -> None:
    model = model_of("lstm")
    peer, joiner = decoders._AsRnnt(model), model.joiner
    labels = torch.tensor([[2], [5]])
    predicted, _, state = peer.predict(labels, torch.ones(2), None)
    out, _ = model.predictor.step(labels[:, 0] + 1, model.predictor.initial_state(2, out_device()))
    torch.testing.assert_close(predicted[:, 0], joiner.predictor_projection(out))
    assert state[0][0].shape[0] == 2
    frame = torch.randn(1, 1, joiner.output.in_features)
    logits, _, _ = peer.join(frame, torch.ones(1), predicted, torch.ones(2))
    expected = joiner.output(joiner.hidden(frame[0], predicted[:, 0]))
    assert logits.shape == (2, 1, 1, model.vocab_size)
    torch.testing.assert_close(logits[:, 0, 0], expected.roll(-1, 1))


def out_device() -> torch.device:
    return torch.device("cpu")


def test_a_worker_gives_labels_time_and_memory(tmp_path: Path) -> None:
    model = model_of("stateless")
    size = Size(vocab_size=300)
    encoded = padded(speech(model), size)
    inputs = {"config": to_json(model.config), "state": widened_state(model, size),
              "out": encoded.out, "lengths": encoded.lengths}  # fmt: skip
    torch.save(inputs, tmp_path / "inputs.pt")
    setting = Setting(method="greedy", predictor="stateless", vocab_size=300, batch_size=4)
    row = measure(setting, 2, str(tmp_path / "inputs.pt"))
    assert row["status"] == "ok" and row["repeats"] == 2 and row["frames"] == 51
    assert row["found"] == decoders.ours(model, speech_of(encoded, model), SearchConfig())
    assert row["fastest_seconds"] <= row["cpu_seconds"] <= row["slowest_seconds"]
    assert set(row) - {"found"} <= set(bench_decoding.COLUMNS)


def speech_of(encoded: Encoded, model: Transducer) -> Encoded:
    return Encoded(encoded.out[..., : model.config.encoder.width], encoded.lengths, [])


def test_no_setting_is_measured_twice_and_peers_run_in_their_environments() -> None:
    settings = bench_decoding.make_settings(vocab_sizes=(2000, 4233), batch_size=8, batch_alone=2)
    assert len(set(settings)) == len(settings)
    where = {(s.method, s.environment) for s in settings}
    assert ("fast_beam", "k2") in where and ("torchaudio", "torchaudio") in where
    assert all(s.predictor == "stateless" for s in settings if s.method == "fast_beam")
    assert len(set(decoding_errors.settings(("greedy", "modified_beam"), (4.0, 10.0)))) == 13


def time_row(method: str, seconds: float, **changed: Any) -> dict[str, str]:
    fields = dict.fromkeys(bench_decoding.COLUMNS, "") | {
        "method": method, "predictor": "lstm", "vocab_size": 4233, "batch_size": 32, "beam": 10,
        "max_gap": 10.0, "ctc_top_k": 0, "blank_skip": 1.0, "environment": "torch2",
        "status": "ok", "speech_seconds": 100.0, "repeats": 3, "cpu_seconds": seconds,
        "fastest_seconds": seconds, "slowest_seconds": seconds, "peak_rss_mib": 5.0,
        "torch": "2.13.0", "machine": "a machine", "commit": "abc", "dirty": False,
    }  # fmt: skip
    return {name: str(value) for name, value in (fields | changed).items()}


def error_row(method: str, percent: float, **changed: Any) -> dict[str, str]:
    fields = dict.fromkeys(decoding_errors.COLUMNS, "") | {
        "method": method, "predictor": "lstm", "max_gap": 10.0, "ctc_top_k": 0, "blank_skip": 1.0,
        "percent": percent, "cpu_seconds": 1.0,
    }  # fmt: skip
    return {name: str(value) for name, value in (fields | changed).items()}


BOTH = {"ctc_top_k": 100, "blank_skip": 0.99}


def test_goals_are_reached_or_not_by_the_rows() -> None:
    times = [
        time_row("one by one", 6.0), time_row("greedy", 1.0), time_row("modified_beam", 5.0),
        time_row("greedy", 0.4, ctc_top_k=100), time_row("greedy", 0.4, **BOTH),
    ]  # fmt: skip
    errors = [error_row("greedy", 5.0), error_row("greedy", 5.3, **BOTH)]
    table = decoding_report.goals(times, errors)
    said = {
        cells[2]: (cells[4], cells[5])
        for cells in ([c.strip() for c in line.split("|")] for line in table.splitlines()[2:])
    }
    assert said["one by one : batched greedy"] == ("6.00", "yes")
    assert said["modified_beam : greedy"] == ("5.00", "no")
    assert said["greedy : with K = 100"] == ("2.50", "yes")
    assert said["greedy : with K = 100, skip 0.99"] == ("2.50", "no")
    assert said["greedy: % more errors of both"] == ("0.30", "no")


def test_tables_and_figure_hold_each_method(tmp_path: Path) -> None:
    times = [time_row("greedy", 1.0), time_row("encoder", 30.0), time_row("greedy", 0.5, **BOTH),
             time_row("torchaudio", 0.0, environment="torchaudio", status="missing")]  # fmt: skip
    errors = [error_row("greedy", 5.25), error_row("greedy", 5.0, **BOTH)]
    text = decoding_report.text(times, errors, [])
    assert "missing" in text and "10.0 (10.0–10.0)" in text and "5.25" in text
    assert "| 300 " in text and "| 310 " in text  # encoder, and together with the search
    assert "5.25" in decoding_report.short(times, errors)
    assert decoding_plot.points(times, errors, "lstm") == [
        ("greedy", "plain", 0.01, 5.25), ("greedy", "K = 100, skip 0.99", 0.005, 5.0),
    ]  # fmt: skip
    decoding_plot.draw(times, errors, tmp_path / "decoding.png")
    assert (tmp_path / "decoding.png").stat().st_size > 10_000
