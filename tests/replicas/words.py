"""Shared by the sentences of the three languages: words drawn like cards."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


class Words:
    """Draws the words of each slot like cards: all occur before one occurs again.

    Args:
        slots: Words of a kind, separated by white space.
        seed: Of the random order.
    """

    def __init__(self, slots: Mapping[str, str], *, seed: int) -> None:
        self._random = random.Random(seed)
        self._slots = {slot: words.split() for slot, words in slots.items()}
        self._decks: dict[str, list[str]] = {slot: [] for slot in slots}

    def take(self, slot: str) -> str:
        """The next word of a kind."""
        deck = self._decks[slot]
        if not deck:
            deck.extend(self._slots[slot])
            self._random.shuffle(deck)
        return deck.pop()

    def pattern(self, patterns: Sequence[str]) -> list[str]:
        """The slots of a random pattern, in which they are separated by spaces."""
        return self._random.choice(patterns).split()
