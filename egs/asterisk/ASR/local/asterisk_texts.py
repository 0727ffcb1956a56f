"""The words of each prompt, from core-sounds-LL.txt.

The file has a line `id: text` for each prompt, and comments after `;`. The texts were written for
people, so they are normalised to transcripts:

- bracketed parts are removed: `[sound effects]`, `at [@]`, `(simple tone sound plays)`;
- numbers are written as words: up to three digits as a number, longer ones digit by digit, as on
  telephones;
- acronyms are spelled letter by letter (`PBX` -> `p b x`), except those pronounced as words;
- case and punctuation are folded. A hyphen separates words; an apostrophe stays inside a word
  if the language has it (English, French, Italian);
- accents are removed in Spanish, and ё becomes е in Russian, because these two files use them
  inconsistently and the difference is not audible.

text_fixes.json corrects faults of the files (misspelt words, letters lost to an encoding, ids that
differ from the audio's): `texts` replaces or adds a prompt's text, `words` replaces a word of the
result, `said_as_words` lists acronyms that are not spelled, `signs` gives the reading of a single
sign, and `drop` lists prompts whose text is not a transcript.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from num2words import num2words

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.files import read_text

LANGUAGES = ("en", "es", "fr", "it", "ru")
_WITH_APOSTROPHE = {"en", "fr", "it"}
_BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "´": "'", "`": "'"})
_SPELLED_NUMBER_DIGITS = 4


def split_languages(langs: str) -> list[str]:
    """The languages of an option like "en fr" or "all", each once, in the corpus's order.

    Raises:
        UserError: if one of them is unknown; the message names it.
    """
    wanted = langs.replace(",", " ").split()
    unknown = [language for language in wanted if language not in (*LANGUAGES, "all")]
    if unknown or not wanted:
        given = " ".join(unknown) or "empty"
        raise UserError(f"--langs is {given}, it must be of {' '.join(LANGUAGES)}, or all")
    return [language for language in LANGUAGES if "all" in wanted or language in wanted]


@dataclass(frozen=True, kw_only=True)
class Fixes:
    """The entries of text_fixes.json for one language."""

    texts: dict[str, str]
    words: dict[str, str]
    said_as_words: list[str]
    signs: dict[str, str]
    drop: list[str]


@cache
def load_fixes(language: str) -> Fixes:
    """The corrections for a language.

    Raises:
        UserError: if the corpus has no such language.
    """
    if language not in LANGUAGES:
        raise UserError(f"language is {language!r}, it must be one of {', '.join(LANGUAGES)}")
    path = Path(__file__).with_name("text_fixes.json")
    return Fixes(**json.loads(path.read_text(encoding="utf-8"))[language])


def parse_texts(content: str) -> dict[str, str]:
    """The raw text of each prompt id. If an id occurs twice, the first line counts."""
    texts: dict[str, str] = {}
    for line in content.lstrip("\ufeff").splitlines():
        if not line.strip() or line.startswith(";") or ":" not in line:
            continue
        prompt_id, text = line.split(":", 1)
        texts.setdefault(prompt_id.strip(), text.strip())
    return {prompt_id: _without_other_ids(text, texts) for prompt_id, text in texts.items()}


def _without_other_ids(text: str, ids: dict[str, str]) -> str:
    """Cut a text before a second `id:`: some lines are joined (`… dièse.vm-review: Pour …`)."""
    for match in re.finditer(r"([a-z]+(?:-[A-Za-z0-9]+)+):", text):
        if match.group(1) in ids:
            before = text[: match.start()].strip()
            return before or _without_other_ids(text[match.end() :].strip(), ids)
    return text


def prompt_texts(path: Path, language: str) -> dict[str, str]:
    """The transcript of each prompt id; the empty string if it has no words."""
    fixes = load_fixes(language)
    raw = {**parse_texts(read_text(path)), **fixes.texts}
    return {
        prompt_id: "" if prompt_id in fixes.drop else normalize(text, language)
        for prompt_id, text in raw.items()
    }


def normalize(text: str, language: str) -> str:
    """The words of a text, in lower case and with single spaces between them."""
    fixes = load_fixes(language)
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    text = _BRACKETED.sub(" ", text)
    text = _read_signs(text, fixes)
    text = _spell_acronyms(text, fixes)
    text = _read_numbers(text, language)
    text = _fold(text.lower(), language)
    return " ".join(fixes.words.get(word, word) for word in text.split())


def _read_signs(text: str, fixes: Fixes) -> str:
    """Replace signs by words: `press #`, and the dots of an internet address."""
    text = re.sub(r"\bwww\.[\w.]+\b", lambda m: _read_address(m.group(0), fixes), text)
    return re.sub(r"(?<!\S)[*#](?=[\s,.]|$)", lambda m: fixes.signs[m.group(0)], text)


def _read_address(address: str, fixes: Fixes) -> str:
    return f" {fixes.signs['.']} ".join(address.replace("www", "w w w").split("."))


def _spell_acronyms(text: str, fixes: Fixes) -> str:
    """`PBX` -> `P B X`, `A.M.` -> `A M`; Cyrillic acronyms are written as pronounced."""
    text = re.sub(r"\b(?:[A-Za-z]\.){2,}", lambda m: m.group(0).replace(".", " "), text)

    def spell(match: re.Match[str]) -> str:
        acronym = match.group(0)
        return acronym if acronym in fixes.said_as_words else " ".join(acronym)

    return re.sub(r"\b(?!DAHDI\b|ZED\b)[A-Z]{2,5}\b", spell, text)


def _read_numbers(text: str, language: str) -> str:
    def read(match: re.Match[str]) -> str:
        digits = match.group(0)
        if "." in digits or "," in digits:
            return f" {num2words(float(digits.replace(',', '.')), lang=language)} "
        numbers = list(digits) if len(digits) >= _SPELLED_NUMBER_DIGITS else [digits]
        return f" {' '.join(num2words(int(n), lang=language) for n in numbers)} "

    return re.sub(r"\d+[.,]\d+|\d+", read, text)


def _fold(text: str, language: str) -> str:
    """Letters and spaces, and apostrophes inside words if the language has them."""
    if language == "es":
        text = unicodedata.normalize("NFD", text)
        text = "".join(c for c in text if not unicodedata.combining(c))
    elif language == "ru":
        text = text.replace("ё", "е")
    text = "".join(c if c.isalpha() or c == "'" else " " for c in text)
    if language not in _WITH_APOSTROPHE:
        return text.replace("'", " ")
    # An elided article keeps its apostrophe (l'heure); quotation marks are removed.
    return re.sub(r"(?<![^\W\d_])'|'(?![^\W\d_])", " ", text)


def main(langs: str, /) -> None:
    """Print the languages of an option, for prepare.sh.

    Args:
        langs: any of en es fr it ru, separated by spaces, or all.
    """
    print(" ".join(split_languages(langs)))


if __name__ == "__main__":
    run_script(main)
