"""Lines of the published text files, and what is heard."""

from __future__ import annotations

import pytest
from asterisk_texts import (
    LANGUAGES,
    load_fixes,
    normalize,
    parse_texts,
    prompt_texts,
    split_languages,
)

LINES = [
    ("en", "[this is a simple beep tone]", ""),
    ("en", "<beep ascending>", ""),
    ("en", "(10 seconds of silence)", ""),
    ("en", "dash [-]", "dash"),
    ("en", "A.M.", "a m"),
    ("en", "o'clock", "o'clock"),
    ("en", "3D audio disabled", "three d audio disabled"),
    ("en", "De-activated.", "de activated"),
    ("en", 'IAX (note: does not say "2")', "i a x"),
    ("en", "SIP", "sip"),
    ("en", "Digium PBX and IVR platform", "digium p b x and i v r platform"),
    ("en", "visit www.asterisk.org.", "visit w w w dot asterisk dot org"),
    ("en", "with extension 1234 and", "with extension one two three four and"),
    ("en", "a 28.8 kilobit modem", "a twenty eight point eight kilobit modem"),
    ("en", "press * to pause, press # to exit", "press star to pause press pound to exit"),
    ("en", "...to decrease, or 2 to reject", "to decrease or two to reject"),
    ("es", "Marque 2 paracambiar de carpeta", "marque dos para cambiar de carpeta"),
    ("es", "Trés para expulsar al último usuario.", "tres para expulsar al ultimo usuario"),
    ("es", 'los comandos "dial," "answer"', "los comandos dial answer"),
    ("fr", "Composez votre numéro d'agent", "composez votre numéro d'agent"),
    ("fr", "soixante-dix", "soixante dix"),
    ("fr", "pour reculer 7, et", "pour reculer sept et"),
    ("fr", "appuyez sur 5.Pour retourner", "appuyez sur cinq pour retourner"),
    ("fr", "“Pour activer", "pour activer"),
    ("it", "c’è una chiamata", "c'è una chiamata"),
    ("it", "premere 3 per l'aiuto", "premere tre per l'aiuto"),
    ("it", "componi l'1234", "componi l uno due tre quattro"),
    ("it", "Perpiacere prova", "per piacere prova"),
    ("ru", "Ваш микрофон включён.", "ваш микрофон включен"),
    ("ru", "Нажмите клавишу «взёздочка»", "нажмите клавишу звездочка"),
    ("ru", "используйте 7 для Q и 9 для Z", "используйте семь для кью и девять для зэт"),
    ("ru", "2 - чтобы заблокировать", "два чтобы заблокировать"),
]


@pytest.mark.parametrize(("language", "line", "words"), LINES)
def test_words_of_real_lines(language: str, line: str, words: str) -> None:
    assert normalize(line, language) == words


def test_ids_comments_and_lines_that_run_into_others() -> None:
    texts = parse_texts(
        "\ufeff; comment\n\na-b: One: two.\na-b: again\nletters/at: at [@]\n"
        "conf-x: appuyez.a-b: Pour\nvm-y: vm-y: Start\nempty:\n"
    )
    assert texts == {
        "a-b": "One: two.",
        "letters/at": "at [@]",
        "conf-x": "appuyez.",
        "vm-y": "Start",
        "empty": "",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_fixes_replace_and_drop(language: str, tmp_path) -> None:
    fixes = load_fixes(language)
    dropped = [*fixes.drop, "a"]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(f"{prompt}: a b" for prompt in dropped), encoding="utf-8")
    texts = prompt_texts(path, language)
    assert texts["a"] == "a b"
    assert all(texts[prompt] == "" for prompt in fixes.drop)
    assert set(fixes.texts) <= set(texts)
    # What a word is corrected to must not need correcting again.
    assert all(normalize(word, language) == word for word in fixes.words.values())


def test_languages_of_an_option() -> None:
    assert split_languages("ru en,en") == ["en", "ru"]
    assert split_languages("all") == list(LANGUAGES)
    for wrong in ("", "en de"):
        with pytest.raises(ValueError, match="--langs"):
            split_languages(wrong)
