"""The command line of a small script is the signature of its `main`.

    def main(source: Path, /, *, num_jobs: int = 2) -> None:
        '''Do something. Args: …'''

    if __name__ == "__main__":
        run_script(main)

What a user got wrong is one sentence on standard error and exit code 2, also where tyro would
draw a box around it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import tyro

from icefall_sampled import cli

_FRAME = re.compile("[╭╮╰╯│─━]+")
_RULE = re.compile("^[│ ]*─{3,}[ │]*$", flags=re.MULTILINE)


def run_script(main: Callable[..., None], *, args: Sequence[str] | None = None) -> NoReturn:
    """Call `main` as the command line says, and exit as `cli.run` does."""
    cli.run(lambda: parse_call(main, args=args)())


def parse_call(
    main: Callable[..., None], *, args: Sequence[str] | None = None
) -> Callable[[], None]:
    """The call of `main` that the command line asks for; `--help` exits.

    Raises:
        ValueError: where the command line is wrong.
    """

    @functools.wraps(main)
    def deferred(*positional: object, **named: object) -> Callable[[], None]:
        return functools.partial(main, *positional, **named)

    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            call: Callable[[], None] = tyro.cli(deferred, args=args)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_one_sentence(messages.getvalue())) from None
    return call


def _one_sentence(boxed: str) -> str:
    """The gist of tyro's message, without the frame and the hints below its first rule."""
    lines = [_FRAME.sub("", line).strip() for line in _RULE.split(boxed, 1)[0].splitlines()[1:]]
    gist = " ".join(line for line in lines if line) or "wrong arguments"
    return f"{gist} (--help explains)"
