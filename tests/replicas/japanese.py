"""Sentences of conference talks, tagged as in the transcripts of CSJ.

A word is written `surface=pronunciation`; `_` means a space inside a tag, `+` joins words, and `|`
ends a segment within a tag, which occurs in the corpus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.replicas.words import Words

_NOUNS = {
    "topic": """音声=オンセー+認識=ニンシキ 機械=キカイ+翻訳=ホンヤク 話者=ワシャ+適応=テキオー
        日本=ニホン+語=ゴ 自然=シゼン+言語=ゲンゴ 雑音=ザツオン+環境=カンキョー 対話=タイワ
        画像=ガゾー 文法=ブンポー 韻律=インリツ 検索=ケンサク+技術=ギジュツ 母音=ボイン
        会話=カイワ 教育=キョーイク 聴覚=チョーカク""",
    "thing": """手法=シュホー モデル=モデル 構造=コーゾー 特徴=トクチョー データ=データ 結果=ケッカ
        問題=モンダイ 実験=ジッケン 精度=セード システム=システム 関係=カンケー 学習=ガクシュー
        (?_効果)=(?_コーカ) (?_規則,期待)=(?_キソク,キタイ) (M_は)=(M_ワ)
        (O_ボンジュール)=(O_ボンジュール) (A_シーティーシー;ＣＴＣ)=シーティーシー
        (A_ピーシー;ＰＣ)=ピーシー (笑_失敗)=(笑_シッパイ) (L_資料)=(L_シリョー)""",
    "slip": """(W_シリョ;資料)=(W_シリョ;シリョー) (W_キョク;曲)=(W_キョク;キョク)
        (W_ゾッキョ;属性)=(W_ゾッキョ;ゾクセー) (K_たち(F_えー)ばな;橘)=タチバナ""",
    "number": """(A_二千;２０００)=ニセン (A_三;３)=サン (A_十五;１５)=ジューゴ (A_百;１００)=ヒャク
        (A_八;８)=ハチ (A_二十四;２４)=ニジューヨン""",
    "unit": "人=ニン 個=コ 回=カイ パーセント=パーセント 文=ブン 時間=ジカン",
    "name": "(R_×××)=(R_×××) 田中=タナカ 森=モリ 先生=センセー",
}
_OTHERS = {
    "filler": """(F_えー)=(F_エー<H>) (F_あのー)=(F_アノー) (F_まー)=(F_マー) (F_えーと)=(F_エート)
        (F_その)=(F_ソノ) (F_うーん)=(F_ウーン)""",
    "stutter": "(D_お)=(D_オ) (D_けん)=(D_ケン) (D_て)=(D_テ<FV>) (D2_が)=(D2_ガ)",
    "long": "(F_えー=(F_エー+|+と)=ト) (F_あ=(F_ア+|+のー)=ノー)",
    "so": "それ=ソレ+で=デ で=デ つまり=ツマリ 次=ツギ+に=ニ また=マタ 従って=シタガッテ",
    "does": """検討=ケントー+し=シ 提案=テーアン+し=シ 評価=ヒョーカ+し=シ 比較=ヒカク+し=シ
        分析=ブンセキ+し=シ 説明=セツメー+し=シ 報告=ホーコク+し=シ 利用=リヨー+し=シ
        調査=チョーサ+し=シ 使い=ツカイ 調べ=シラベ 考え=カンガエ 述べ=ノベ""",
    "end": """まし=マシ+た=タ ます=マス て=テ+い=イ+ます=マス
        たい=タイ+と=ト+思い=オモイ+ます=マス""",
    "が": "が=ガ", "を": "を=オ", "は": "は=ワ", "の": "の=ノ", "に": "に=ニ+つい=ツイ+て=テ",
    "で": "で=デ", "です": "です=デス", "と": "と=ト+いう=ユー",
}  # fmt: skip
_PATTERNS = (
    "filler topic の thing を does end",
    "so filler number unit の topic を does end",
    "topic の thing が thing です",
    "stutter topic の thing に does end",
    "filler thing は number unit です",
    "so thing で stutter thing を does end",
    "name と thing に does end",
    "topic に filler slip を does end",
    "long topic の thing を does end",
    "so topic と thing は filler thing です",
)
_PARTS_OF_SPEECH = {"filler": "感動詞", "long": "感動詞", "stutter": "言いよどみ", "so": "接続詞"}
_LAST_TAG = re.compile(r"\((\w2?|\?) ([^()]*)\)")
_NUMERALS = "一二三四五六七八九十百千"


@dataclass(frozen=True, kw_only=True)
class Word:
    """A line of a transcript."""

    surface: str
    pronunciation: str
    part_of_speech: str

    @property
    def spoken(self) -> str:
        """The kana of the pronunciation."""
        kana = re.sub("<[^>]*>", "", self.pronunciation).replace("×", "")
        return _bare(kana, written=False)

    @property
    def plain(self) -> str:
        """The surface without tags."""
        return _bare(self.surface, written=True)


Segment = list[Word]


def sentences(count: int, *, seed: int) -> list[list[Segment]]:
    """Some sentences: one segment each, or two if a tag spans both."""
    words = Words({**_NOUNS, **_OTHERS}, seed=seed)
    return [_sentence(words) for _ in range(count)]


def written(sentence: list[Segment]) -> str:
    """The sentence without tags, as in lhotse: fillers are kept, slips are corrected."""
    return _without_tags(
        " ".join(word.surface for segment in sentence for word in segment), written=True
    ).replace(" ", "")


def _sentence(words: Words) -> list[Segment]:
    segments: list[Segment] = [[]]
    for slot in words.pattern(_PATTERNS):
        for entry in words.take(slot).split("+"):
            if entry == "|":
                segments.append([])
            else:
                surface, pronunciation = entry.replace("_", " ").split("=")
                segments[-1].append(
                    Word(
                        surface=surface,
                        pronunciation=pronunciation,
                        part_of_speech=_part_of_speech(slot, surface),
                    )
                )
    return segments


def _part_of_speech(slot: str, surface: str) -> str:
    if slot in _NOUNS:
        return "名詞"
    if slot in ("does", "end"):
        return "助動詞" if surface in ("まし", "た", "ます", "たい") else "動詞"
    return _PARTS_OF_SPEECH.get(slot, "助動詞" if slot == "です" else "助詞")


def _bare(text: str, *, written: bool) -> str:
    # If a tag spans two segments, one of its brackets is in another word.
    return _without_tags(text, written=written).rstrip(")").split(" ")[-1]


def _without_tags(text: str, *, written: bool) -> str:
    """The spoken or the written form of a text whose tags may be nested."""

    def choose(match: re.Match[str]) -> str:
        tag, content = match.groups()
        choices = re.split("[;,]", content)
        mended = tag in "WK" or (tag == "A" and choices[0][0] not in _NUMERALS)
        return choices[1] if written and mended else choices[0]

    while _LAST_TAG.search(text):
        text = _LAST_TAG.sub(choose, text)
    return text
