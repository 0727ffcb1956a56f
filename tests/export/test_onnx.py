"""The ONNX files, run by onnxruntime: torch's numbers, in every shape and whatever the padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from icefall_sampled.export.onnx import save_onnx
from icefall_sampled.export.onnx_networks import LSTM_CONTEXT, NEVER, GraphConfig
from icefall_sampled.modeling import Transducer
from icefall_sampled.sampling import mean_posterior, top_k
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN
from tests.support.corpus import write_tokens
from tests.support.tiny import PRUNED, changed, tiny_config, tiny_model

STATELESS = {"predictor": {"kind": "stateless", "context_labels": 3}}
CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "stateless": STATELESS,
    "lstm, 6 times fewer frames": {
        "predictor": {"num_layers": 2}, "encoder": {"subsampling": 6},
    },
    "self-conditioned": {
        **STATELESS, "ctc": {"intermediate_layers": (1,), "self_conditioning": True},
        "joiner": {"activation": "relu"},
    },
    "pruned": {**STATELESS, **PRUNED},
    "by chunks": {
        **STATELESS,
        "encoder": {"causal": True, "chunk_frames": (4, 8), "left_context_frames": 8},
    },
}  # fmt: skip
LENGTHS = ([100, 80], [60, 41, 33], [331], [11], [57] * 4)


class Files:
    """A model beside its exported graphs."""

    def __init__(self, model: Transducer, folder: Path, config: GraphConfig) -> None:
        save_onnx(folder, model, config, lang_dir=write_tokens(folder / "lang"))
        self.model, self.folder = model, folder
        names = ("encoder", "decoder", "joiner")
        self.sessions = {n: onnxruntime.InferenceSession(str(folder / f"{n}.onnx")) for n in names}

    def run(self, name: str, **inputs: Tensor) -> list[Tensor]:
        given = {key: value.numpy() for key, value in inputs.items()}
        return [torch.from_numpy(np.array(a)) for a in self.sessions[name].run(None, given)]

    def metadata(self, name: str) -> dict[str, str]:
        return dict(self.sessions[name].get_modelmeta().custom_metadata_map)


def exported(name: str, folder: Path, **config: Any) -> Files:
    model = tiny_model(changed(tiny_config(), **CONFIGS[name]), scale=2.0)
    model.feature_norm.count += 7.0
    model.feature_norm.squares += 5.0
    return Files(model, folder, GraphConfig(**{"max_symbols": 1, **config}))


def ragged(lengths: list[int], *, padding: float = -23.0) -> tuple[Tensor, Tensor]:
    features = torch.randn(len(lengths), max(lengths), 80)
    for row, length in enumerate(lengths):
        features[row, length:] = padding
    return features, torch.tensor(lengths)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_graphs_give_the_numbers_of_the_model(name: str, tmp_path: Path) -> None:
    files = exported(name, tmp_path)
    model = files.model
    for lengths in LENGTHS:
        features, num_frames = ragged(lengths)
        frames, encoder_lengths = files.run("encoder", x=features, x_lens=num_frames)
        encoded = model.encode(features, num_frames)
        assert torch.equal(encoder_lengths, encoded.lengths)
        expected = model.joiner.encoder_projection(encoded.out)
        for row, length in enumerate(encoded.lengths):
            close(frames[row, :length], expected[row, :length])
        predicted = torch.randn(len(lengths), model.config.joiner.width)
        (logits,) = files.run("joiner", encoder_out=frames[:, 0], decoder_out=predicted)
        close(logits, model.joiner.output(model.joiner.hidden(frames[:, 0], predicted)))


@pytest.mark.parametrize("name", ["stateless", "lstm, 6 times fewer frames"])
@torch.no_grad()
def test_the_decoder_sees_what_the_predictor_sees_label_by_label(name: str, tmp_path: Path) -> None:
    files = exported(name, tmp_path)
    model, context = files.model, int(files.metadata("decoder")["context_size"])
    history = torch.full((3, context), -1, dtype=torch.int64)
    history[:, -1] = 0  # so sherpa-onnx begins
    state = model.predictor.initial_state(3, history.device)
    for _ in range(9):
        out, state = model.predictor.step(history[:, -1], state)
        (found,) = files.run("decoder", y=history)
        close(found, model.joiner.predictor_projection(out))
        history = torch.cat([history[:, 1:], torch.randint(1, 12, (3, 1))], dim=1)


@torch.no_grad()
def test_an_lstm_forgets_what_is_further_back_than_its_context(tmp_path: Path) -> None:
    files = exported("lstm, 6 times fewer frames", tmp_path)
    labels = torch.randint(1, 12, (2, LSTM_CONTEXT + 40))
    (found,) = files.run("decoder", y=labels[:, 40:])
    whole = files.model.predict(labels, torch.tensor([LSTM_CONTEXT + 40] * 2))[:, -1]
    close(found, whole)  # by then the start has no weight any more


@torch.no_grad()
def test_padding_may_hold_anything(tmp_path: Path) -> None:
    files = exported("self-conditioned", tmp_path, ctc_top_k=4, blank_skip=0.5)
    found = []
    for padding in (-23.0, float("nan")):
        torch.manual_seed(3)
        features, lengths = ragged([90, 61], padding=padding)
        frames, kept = files.run("encoder", x=features, x_lens=lengths)
        found.append([frames[row, :length] for row, length in enumerate(kept)])
    assert all(map(torch.equal, *found))


@torch.no_grad()
def test_frames_are_repeated_for_several_labels(tmp_path: Path) -> None:
    once = exported("stateless", tmp_path / "once")
    thrice = exported("stateless", tmp_path / "thrice", max_symbols=3)
    features, lengths = ragged([90, 61])
    frames, encoder_lengths = once.run("encoder", x=features, x_lens=lengths)
    found, tripled = thrice.run("encoder", x=features, x_lens=lengths)
    assert torch.equal(tripled, 3 * encoder_lengths)
    assert torch.equal(found, frames.repeat_interleave(3, dim=1))


@pytest.mark.parametrize("num_allowed", [1, 4, 50])
@torch.no_grad()
def test_only_the_allowed_classes_have_a_score(num_allowed: int, tmp_path: Path) -> None:
    files = exported("stateless", tmp_path, ctc_top_k=num_allowed)
    model = files.model
    features, lengths = ragged([90, 61, 70])
    encoded = model.encode(features, lengths)
    allowed = top_k(mean_posterior(model.ctc_log_probs(encoded), encoded.lengths), num_allowed)
    frames, _ = files.run("encoder", x=features, x_lens=lengths)
    predicted = torch.randn(3, model.config.joiner.width)
    (logits,) = files.run("joiner", encoder_out=frames[:, 2], decoder_out=predicted)
    projected = model.joiner.encoder_projection(encoded.out)[:, 2]
    expected = model.joiner.output(model.joiner.hidden(projected, predicted))
    close(logits.gather(1, allowed), expected.gather(1, allowed))
    others = torch.ones_like(logits).scatter(1, allowed, 0.0).bool()
    assert (logits[others] == NEVER).all()


@torch.no_grad()
def test_skipped_frames_are_left_out_and_the_others_keep_their_order(tmp_path: Path) -> None:
    model = tiny_model(changed(tiny_config(), **STATELESS), scale=2.0)
    features, lengths = ragged([300, 161, 70])
    encoded = model.encode(features, lengths)
    blank = model.ctc_log_probs(encoded)[..., 0].exp()
    # In the widest gap near the median: on neither side does rounding decide.
    likely = torch.cat([row[:n] for row, n in zip(blank, encoded.lengths, strict=True)]).sort()[0]
    near = likely[2 * len(likely) // 5 : 3 * len(likely) // 5]
    gap = int((near[1:] - near[:-1]).argmax())
    threshold = float(near[gap : gap + 2].mean())
    files = Files(model, tmp_path, GraphConfig(max_symbols=1, blank_skip=threshold))
    frames, kept = files.run("encoder", x=features, x_lens=lengths)
    projected = model.joiner.encoder_projection(encoded.out)
    assert 0.3 < float(kept.sum()) / float(encoded.lengths.sum()) < 0.7
    for row, length in enumerate(encoded.lengths):
        wanted = projected[row, :length][blank[row, :length] <= threshold]
        assert kept[row] == len(wanted)
        close(frames[row, : kept[row]], wanted)


@torch.no_grad()
def test_where_every_frame_is_skipped_one_stays(tmp_path: Path) -> None:
    files = exported("stateless", tmp_path, blank_skip=1e-9)
    features, lengths = ragged([90, 61])
    frames, kept = files.run("encoder", x=features, x_lens=lengths)
    assert kept.tolist() == [1, 1]
    assert frames.shape[1] == 1


def test_what_the_runtime_reads_about_the_files(tmp_path: Path) -> None:
    files = exported("stateless", tmp_path, ctc_top_k=5, max_symbols=2)
    assert files.metadata("encoder")["model_type"] == "conformer"
    assert files.metadata("encoder")["ctc_top_k"] == "5"
    assert files.metadata("encoder")["max_symbols"] == "2"
    assert files.metadata("decoder") == {"context_size": "3", "vocab_size": "12"}
    assert files.metadata("joiner") == {"joiner_dim": "16"}
    assert (tmp_path / "tokens.txt").read_text() == (tmp_path / "lang/tokens.txt").read_text()
    for name in files.sessions:
        onnx.checker.check_model(str(tmp_path / f"{name}.onnx"), full_check=True)


def test_pieces_are_written_as_the_runtime_wants_them(tmp_path: Path) -> None:
    import sentencepiece

    corpus = tmp_path / "text.txt"
    corpus.write_text("one two three four\nfive six seven eight\n" * 10)
    (tmp_path / "bpe").mkdir()
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "bpe/bpe"), vocab_size=30,
        model_type="bpe", pad_id=-1, bos_id=-1, eos_id=-1, unk_id=1,
        user_defined_symbols=[BLANK_TOKEN], minloglevel=2,
    )  # fmt: skip
    model = tiny_model(changed(tiny_config(), **STATELESS), vocab_size=30)
    save_onnx(tmp_path, model, GraphConfig(), lang_dir=tmp_path / "bpe")
    rows = [line.rsplit(" ", 1) for line in (tmp_path / "tokens.txt").read_text().splitlines()]
    assert [int(number) for _, number in rows] == list(range(30))
    assert rows[0][0] == BLANK_TOKEN
    assert rows[1][0] == UNKNOWN_TOKEN
    assert any(token.startswith("▁") for token, _ in rows)


def test_words_have_a_space_before_them_for_the_runtime(tmp_path: Path) -> None:
    words = [BLANK_TOKEN, UNKNOWN_TOKEN, "ming2", "zi4"]
    (tmp_path / "lang").mkdir()
    lines = [f"{word} {i}\n" for i, word in enumerate(words)]
    (tmp_path / "lang/word_tokens.txt").write_text("".join(lines))
    model = tiny_model(changed(tiny_config(), **STATELESS), vocab_size=4)
    save_onnx(tmp_path, model, GraphConfig(), lang_dir=tmp_path / "lang")
    written = (tmp_path / "tokens.txt").read_text().splitlines()
    assert written == ["<blk> 0", "<unk> 1", "▁ming2 2", "▁zi4 3"]
