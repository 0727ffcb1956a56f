"""A model as a folder: weights in safetensors, config as JSON, and the token table's own file.

    model.safetensors    the averaged weights
    config.json          the config, the number of classes, and digests of the other files
    bpe.model            or word_tokens.txt or tokens.txt: see icefall_sampled.tokens.TOKEN_FILES

Nothing in it is code, and loading it runs none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from icefall_sampled.config import Config, check, from_json, to_json
from icefall_sampled.errors import UserError
from icefall_sampled.files import replacing, write_text
from icefall_sampled.model_files import best_device, load_averaged
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.modeling.factories import MadeBy, find, portable
from icefall_sampled.tokens import TOKEN_FILES, TokenTable, load_tokens, token_file

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = 2
"""Version of the folder's format; it counts up with each incompatible change."""


class ExportError(UserError):
    """A folder that cannot be written or loaded; the message names the file and says why."""


def save_folder(folder: Path, model: Transducer, *, lang_dir: Path) -> None:
    """Write a model and its token table; existing files are replaced.

    config.json is written last: a folder without it is not an exported model, so an interrupted
    export is not mistaken for a complete one.

    Args:
        folder: created if it does not exist.
        model: on any device.
        lang_dir: folder of its token table.

    Raises:
        ExportError: if the table and the model differ in the number of classes.
        OSError: if a file cannot be written.
    """
    tokens = load_tokens(lang_dir)
    if tokens.vocab_size != model.vocab_size:
        raise ExportError(
            f"lang_dir is {lang_dir}, it must have the model's {model.vocab_size} classes, "
            f"not {tokens.vocab_size}"
        )
    (folder / CONFIG).unlink(missing_ok=True)
    state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(folder / WEIGHTS) as temporary:
        # save_file makes a file that only its owner can read, and a full disk raises no OSError.
        temporary.write_bytes(save(state))
    table = token_file(lang_dir)
    for other in itertools.takewhile(lambda name: name != table.name, TOKEN_FILES):
        (folder / other).unlink(missing_ok=True)  # load_tokens would prefer it
    with replacing(folder / table.name) as temporary:
        shutil.copyfile(table, temporary)
    description = {
        "format": FORMAT,
        "vocab_size": model.vocab_size,
        "tokens": tokens.fingerprint,
        "weights": _digest(folder / WEIGHTS),
        "factories": portable(model.factories.names()),
        "config": json.loads(to_json(_without_folders(model.config))),
    }
    write_text(folder / CONFIG, json.dumps(description, indent=2) + "\n")


def _without_folders(config: Config) -> Config:
    """The config without the folders of the machine on which it was trained."""
    data = config.data
    return replace(
        config,
        exp_dir=Path(config.exp_dir.name),
        data=replace(
            data,
            train_cuts=Path(data.train_cuts.name),
            dev_cuts=Path(data.dev_cuts.name),
            lang_dir=Path("."),
        ),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_folder(path: Path) -> bool:
    """Whether `save_folder` wrote this folder; otherwise it may be a training run."""
    return (path / CONFIG).is_file()


def load_folder(
    folder: Path, *, made_by: MadeBy | None = None, code: Path | None = None
) -> tuple[Transducer, TokenTable]:
    """The model, on the CPU in eval mode, and its token table.

    Args:
        folder: written by `save_folder`.
        made_by: the factories of a model with parts of its own (see `load_averaged`).
        code: the file with these factories, if they are not of an installed package.

    Raises:
        ExportError: if a file is missing, damaged, or not the one that was written.
    """
    description = _read_description(folder / CONFIG)
    factories = find(description["factories"], made_by=made_by, code=code)
    config = _config_of(description["config"], factories, folder / CONFIG)
    tokens = _tokens_of(folder, description)
    state = _weights_of(folder / WEIGHTS, description["weights"])
    model = factories.model(config, tokens.vocab_size)
    _check_shapes(state, model.state_dict(), folder / WEIGHTS)
    model.load_state_dict(state)
    return model.eval(), tokens


def open_model(
    path: Path,
    *,
    avg: int = 5,
    lang_dir: Path | None = None,
    made_by: MadeBy | None = None,
    code: Path | None = None,
) -> tuple[Transducer, TokenTable]:
    """The model of an exported folder or a training run, on the best device, in eval mode.

    Args:
        path: a folder written by `save_folder`, or the exp_dir of a run.
        avg: for a run, how many of the latest checkpoints to average; 0 takes the best on dev.
        lang_dir: for a run, folder of its token table; by default the one used in training.
        made_by: the factories of a model with parts of its own (see `load_averaged`).
        code: the file with these factories, if they are not of an installed package.

    Raises:
        ValueError: if there is no model, or a damaged one.
    """
    if not path.is_dir():
        raise ExportError(f"model is {path}, it must be a folder: an exported one, or a run's")
    if is_folder(path):
        model, tokens = load_folder(path, made_by=made_by, code=code)
        return model.to(best_device()), tokens
    if (path / WEIGHTS).is_file():
        raise ExportError(f"{path / CONFIG} is missing: {path} was not exported to the end")
    return load_averaged(path, avg=avg, lang_dir=lang_dir, made_by=made_by, code=code)


def _read_description(path: Path) -> dict[str, Any]:
    """The contents of config.json; all required entries are present."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{path} is missing: this is no exported model") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ExportError(f"{path} is damaged: it is not JSON ({error})") from error
    if not isinstance(found, dict) or "format" not in found:
        raise ExportError(f"{path} is not the config of an exported model")
    if found["format"] != FORMAT:
        raise ExportError(f"{path} is of format {found['format']}, this version reads {FORMAT}")
    kinds = {"vocab_size": int, "tokens": str, "weights": str, "factories": dict, "config": dict}
    for name, kind in kinds.items():
        if not isinstance(found.get(name), kind):
            raise ExportError(f"{path} is damaged: {name} is {found.get(name)!r}")
    return found


def _config_of(fields: dict[str, Any], factories: Factories, path: Path) -> Config:
    try:
        config = from_json(Config, json.dumps(fields), parts=factories.config_classes())
        check(config)
    except (UserError, TypeError) as error:  # an unknown field, or text in place of a number
        raise ExportError(f"{path} is damaged: {error}") from error
    return config


def _tokens_of(folder: Path, description: dict[str, Any]) -> TokenTable:
    if not any((folder / name).is_file() for name in TOKEN_FILES):
        first, *others = TOKEN_FILES
        raise ExportError(f"{folder / first} (or {' or '.join(others)}) is missing")
    path = token_file(folder)
    try:
        tokens = load_tokens(folder)
    except UserError as error:
        raise ExportError(f"{path} is damaged: {error}") from error
    if tokens.fingerprint != description["tokens"]:
        raise ExportError(f"{path} is not the table that was exported: its fingerprint differs")
    if tokens.vocab_size != description["vocab_size"]:
        raise ExportError(
            f"{folder / CONFIG} is damaged: vocab_size is {description['vocab_size']}, "
            f"{path.name} has {tokens.vocab_size} tokens"
        )
    return tokens


def _weights_of(path: Path, digest: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise ExportError(f"{path} is missing")
    if _digest(path) != digest:
        raise ExportError(f"{path} is not the file that was exported: its SHA-256 differs")
    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise ExportError(f"{path} is damaged: {error}") from error


def _check_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Compare names and shapes; the error names the first weight that differs."""
    for name in sorted(set(found) | set(wanted)):
        has, must = (tuple(s[name].shape) if name in s else "nothing" for s in (found, wanted))
        if has != must:
            raise ExportError(f"{path}: {name} is {has}, by {CONFIG} it must be {must}")
