"""The announcements of a phone system, as sequences of prompt ids.

The sentences are data, in grammar.json: each rule has alternatives, and an alternative is a
sequence of prompt ids and `<rule>`s. A language's rules replace the common ones of the same name.
Four rules are code, because they are arithmetic:

    <number:1-99>   a number from a range, composed of recordings as in the language
    <digits:3-5>    three to five digits, one by one
    <letters:3-7>   letters of the alphabet           <phonetic:3-5>   alpha, bravo, …

A rule may only use prompts in `heard`, those that may occur in training. Alternatives that need
another prompt are never used: if "twenty" is held out, no number from 20 to 29 is composed.
"""

from __future__ import annotations

import json
import random
import string
from functools import cache
from pathlib import Path

TOPICS = "topics"
_SPELLED = {"digits": string.digits, "letters": string.ascii_lowercase}


def load_rules(language: str) -> dict[str, list[str]]:
    """The rules of a language: the common ones, replaced by its own of the same name."""
    path = Path(__file__).with_name("grammar.json")
    rules = json.loads(path.read_text(encoding="utf-8"))
    return {**rules["common"], **rules[language]}


class Grammar:
    """Draws announcements.

    Args:
        language: the language of the rules.
        published: every prompt id of the language. A number that was recorded as a whole always
            uses that recording, even if it is held out and so excludes the number.
        heard: the prompt ids that may be used.
    """

    def __init__(self, language: str, *, published: set[str], heard: set[str]) -> None:
        self.language = language
        self._published = published
        self._heard = heard
        self._rules = self._possible(load_rules(language))

    def draw(self, rng: random.Random) -> list[str]:
        """The prompt ids of one announcement; empty if no rule is possible."""
        if TOPICS not in self._rules:
            return []
        return self._expand(f"<{TOPICS}>", rng)

    def rule_names(self) -> set[str]:
        """The rules with at least one possible alternative."""
        return set(self._rules)

    def _expand(self, symbol: str, rng: random.Random) -> list[str]:
        if not symbol.startswith("<"):
            return [symbol]
        name, _, bounds = symbol[1:-1].partition(":")
        if bounds:
            low, high = (int(bound) for bound in bounds.split("-"))
            if name == "number":
                return list(rng.choice(self._numbers(low, high)))
            return [rng.choice(self._one_by_one(name)) for _ in range(rng.randint(low, high))]
        option = rng.choice(self._rules[name])
        return [prompt for part in option.split() for prompt in self._expand(part, rng)]

    def _possible(self, rules: dict[str, list[str]]) -> dict[str, list[str]]:
        """Drop impossible alternatives, repeatedly until nothing changes."""
        while True:
            kept = {
                name: [option for option in options if self._sayable(option, rules)]
                for name, options in rules.items()
            }
            kept = {name: options for name, options in kept.items() if options}
            if kept == rules:
                return kept
            rules = kept

    def _sayable(self, option: str, rules: dict[str, list[str]]) -> bool:
        for symbol in option.split():
            name, _, bounds = symbol.strip("<>").partition(":")
            if not symbol.startswith("<"):
                possible = symbol in self._heard
            elif name == "number" and bounds:
                low, high = (int(bound) for bound in bounds.split("-"))
                possible = bool(self._numbers(low, high))
            elif bounds:
                possible = bool(self._one_by_one(name))
            else:
                possible = name in rules
            if not possible:
                return False
        return True

    @cache  # noqa: B019  one grammar a language, and it lives as long as the run
    def _numbers(self, low: int, high: int) -> tuple[tuple[str, ...], ...]:
        """Every possible number of a range, as prompt ids."""
        spoken = (number_prompts(n, self.language, self._published) for n in range(low, high + 1))
        return tuple(tuple(ids) for ids in spoken if ids and self._heard.issuperset(ids))

    @cache  # noqa: B019
    def _one_by_one(self, name: str) -> tuple[str, ...]:
        if name == "phonetic":
            candidates = [f"phonetic/{letter}_p" for letter in string.ascii_lowercase]
        else:
            candidates = [f"{name}/{sign}" for sign in _SPELLED[name]]
        return tuple(prompt for prompt in candidates if prompt in self._heard)


def number_prompts(number: int, language: str, published: set[str]) -> list[str]:
    """The prompts of a number from 0 to 9999; empty if the language lacks some of them."""
    if f"digits/{number}" in published and number != 100:
        return [f"digits/{number}"]
    if number < 100:
        return _tens(number, language)
    if number < 1000:
        return _hundreds(number, language, published)
    thousands, rest = divmod(number, 1000)
    if language not in ("en", "es", "fr"):
        return []
    # Spanish and French say "mil", not "un mil".
    count = [] if thousands == 1 and language != "en" else [f"digits/{thousands}"]
    return [*count, "digits/thousand", *(number_prompts(rest, language, published) if rest else [])]


def _tens(number: int, language: str) -> list[str]:
    tens, unit = number // 10 * 10, number % 10
    if language == "es":
        return [f"digits/{tens}", "digits/and", f"digits/{unit}"]
    if language == "fr":
        # soixante et onze, quatre-vingt-un, quatre-vingt-onze
        tens = {70: 60, 90: 80}.get(tens, tens)
        unit = number - tens
        joined = ["digits/et"] if unit in (1, 11) and tens != 80 else []
        return [f"digits/{tens}", *joined, f"digits/{unit}"]
    return [f"digits/{tens}", f"digits/{unit}"]


def _hundreds(number: int, language: str, published: set[str]) -> list[str]:
    hundreds, rest = divmod(number, 100)
    ending = number_prompts(rest, language, published) if rest else []
    if language == "es" and hundreds == 1:
        return ["digits/100-and", *ending] if rest else ["digits/hundred"]
    if language == "es":
        return [f"digits/{hundreds}00", *ending]
    if language == "it" or (language == "ru" and hundreds > 1):
        # No Italian recording is known to say "cento", and Russian has "сто" alone.
        return []
    count = [] if hundreds == 1 and language in ("fr", "ru") else [f"digits/{hundreds}"]
    return [*count, "digits/hundred", *ending]
