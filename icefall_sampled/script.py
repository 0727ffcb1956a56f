"""The command line of a small script is the signature of its `main`.

    def main(source: Path, /, *, num_jobs: int = 2) -> None:
        '''Do something. Args: …'''

    if __name__ == "__main__":
        run_script(main)

A wrong command line gives one sentence on standard error, without tyro's box, and exit code 2, as
every user error does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NoReturn

import tyro

from icefall_sampled import cli


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

    return cli.in_one_sentence(lambda: tyro.cli(deferred, args=args))
