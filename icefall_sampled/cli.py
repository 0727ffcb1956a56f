"""What all commands of the project share: logging, errors in one sentence, exit codes.

0 done; 1 some inputs could not be read and were named, the rest is done; 2 the user has to change
something; 130 interrupted, the same command continues; 141 the reader closed the output pipe. A bug
shows its traceback, with Python's own exit code, 1.

The command line of a small script is the signature of its `main`:

    def main(source: Path, /, *, num_jobs: int = 2) -> None:
        '''Do something. Args: …'''

    if __name__ == "__main__":
        run_script(main)
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TypeVar

import tyro

from icefall_sampled.config import leaves
from icefall_sampled.errors import UserError

C = TypeVar("C")

_OPTIONAL = ("distributed", "kaldifeat", "matplotlib", "sentencepiece", "sherpa_onnx", "torchaudio")
"""Packages that are imported only where they are needed."""
_FRAME = re.compile("[╭╮╰╯│─━]+")
_RULE = re.compile("^[│ ]*─{3,}[ │]*$", flags=re.MULTILINE)


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit with one of the codes above.

    With ICEFALL_SAMPLED_TRACEBACK=1 in the environment the traceback of an error is shown too.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head -1`, for example, closes the pipe early
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # output that is still buffered
        sys.exit(141)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what is saved", file=sys.stderr)
        sys.exit(130)
    except (UserError, OSError, ModuleNotFoundError) as error:
        is_ours = isinstance(error, ModuleNotFoundError) and error.name not in _OPTIONAL
        if is_ours or os.environ.get("ICEFALL_SAMPLED_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def choose_variant(variants: dict[str, C], *, base: C, description: str) -> C:
    """Read `VARIANT --field value …` from the command line: a named config and changes to it.

    Args:
        variants: configs by name.
        base: the config that `--help` compares each variant with.
        description: of the program.

    Raises:
        UserError: where the command line is wrong.
    """
    _check_variant(sys.argv[1:2], variants)
    described = {name: (_differences(base, config), config) for name, config in variants.items()}
    return in_one_sentence(
        lambda: tyro.extras.overridable_config_cli(described, description=description)
    )


def _check_variant(first: Sequence[str], variants: Iterable[str]) -> None:
    """Raise UserError for an unknown variant, which tyro would take for an option."""
    names = list(variants)
    for name in first:
        if name not in names and not name.startswith("-"):
            close = difflib.get_close_matches(name, names, n=len(names))
            known = ", ".join([*close, *(other for other in names if other not in close)])
            raise UserError(f"there is no variant {name!r}, it must be one of {known}")


def parse(default: C, *, description: str) -> C:
    """Read `--field value …` from the command line."""
    return in_one_sentence(
        lambda: tyro.cli(type(default), default=default, description=description)
    )


def in_one_sentence(parse_arguments: Callable[[], C]) -> C:
    """Call a tyro parser; explain a wrong command line in one sentence, without tyro's box.

    Raises:
        UserError: where the command line is wrong.
    """
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return parse_arguments()
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
        raise UserError(_unboxed(messages.getvalue())) from None


def _unboxed(boxed: str) -> str:
    """Tyro's message without the frame and the hints below its first rule."""
    lines = [_FRAME.sub("", line).strip() for line in _RULE.split(boxed, 1)[0].splitlines()[1:]]
    message = " ".join(line for line in lines if line) or "wrong arguments"
    return f"{message} (--help explains)"


def _differences(base: object, config: object) -> str:
    """The fields in which a config differs from another, as text."""
    was, now = leaves(base), leaves(config)
    differing = [k for k in now if now[k] != was.get(k) and k != "exp_dir"]
    return ", ".join(f"{k} {now[k]}" for k in differing) or "the default"


def run_script(main: Callable[..., None], *, args: Sequence[str] | None = None) -> NoReturn:
    """Call `main` as the command line says, and exit as `cli.run` does."""
    run(lambda: parse_call(main, args=args)())


def parse_call(
    main: Callable[..., None], *, args: Sequence[str] | None = None
) -> Callable[[], None]:
    """The call of `main` that the command line asks for; `--help` exits.

    Raises:
        UserError: where the command line is wrong.
    """

    @functools.wraps(main)
    def deferred(*positional: object, **named: object) -> Callable[[], None]:
        return functools.partial(main, *positional, **named)

    return in_one_sentence(lambda: tyro.cli(deferred, args=args))
