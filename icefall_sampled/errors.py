"""Errors that a program's user can mend, and what is quoted of other packages' errors."""

from __future__ import annotations


class UserError(ValueError):
    """Something that a user can mend, in one sentence: all that a program prints of it."""


class MissingPackage(UserError, ImportError):
    """A package that is wanted and cannot be imported."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened: packages append paragraphs, or all their data.

    Of an error without a text it is the name of its type.
    """
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def unreadable(error: BaseException) -> str:
    """Why an utterance is rejected whose data raised this error, of whatever type."""
    return f"unreadable: {type(error).__name__}: {first_line(error)}"
