"""What the three languages' sentence makers share: words dealt like cards."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


class Words:
    """Deals the words of each slot like cards: all come up before one comes up again.

    Args:
        slots: Words of a kind, separated by white space.
        seed: The same one deals the same words.
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
        """The slots of one of the patterns, which names them separated by spaces."""
        return self._random.choice(patterns).split()
