"""Which texts count as copies of an example: one planted leak of each kind, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit.index import ExampleIndex, ExampleText
from harness.audit.normalise import compact, unspaced_letters, words
from harness.audit.shingles import shingled

EXAMPLE = "The cash machine next to the bakery kept my card after I pressed cancel; how do I get it back?"
CHINESE = "转股溢价率高的可转债在正股下跌时会面临怎样的风险？"


def kinds(example: str, text: str) -> list[tuple[str, float]]:
    index = ExampleIndex([ExampleText("T", "query", 0, example)])
    return [(match.kind, round(match.similarity, 2)) for match in index.matches(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (EXAMPLE, "exact"),
        (f"  {EXAMPLE}\n", "exact"),
        (EXAMPLE.upper().replace(";", " --").replace("?", " ?!"), "normalised"),
        (EXAMPLE.replace(" ", ""), "normalised"),
        (EXAMPLE.replace("cash", "\uff43\uff41\uff53\uff48"), "normalised"),  # full-width letters
        (EXAMPLE.replace("bakery", "butcher"), "near duplicate"),
        (
            f"Hello there, a question from a friend of mine. {EXAMPLE} Many thanks in advance for your kind help!",
            "containment",
        ),
        (f"Well well well indeed {EXAMPLE.replace('kept', 'took')} " + "and much more of it " * 9, "containment"),
        ("next to the bakery kept my card after I pressed", "text inside example"),
    ],
)
def test_planted_leak_is_found_with_its_kind(text: str, kind: str) -> None:
    assert [found for found, _ in kinds(EXAMPLE, text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "how do I get it back?",
        "My card was kept by the machine at the station, what now?",
        "The cash machine next to my flat is broken and I pressed cancel twice already today.",
        "back it get I do how cancel pressed I after card my kept bakery the to next machine cash the",
    ],
)
def test_other_text_is_no_hit(text: str) -> None:
    assert kinds(EXAMPLE, text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (CHINESE, "exact"),
        (CHINESE.replace("？", " ?").replace("在", " 在"), "normalised"),
        (f"今天我们来聊一聊投资里的一个老问题。{CHINESE}下面分三点来回答，首先看条款，其次看估值。", "containment"),
        ("转股溢价率高的可转债", None),
        ("债转可的高率价溢股转在跌下股正时会临面样怎的险风", None),
    ],
)
def test_chinese_is_compared_by_characters(text: str, kind: str | None) -> None:
    assert [found for found, _ in kinds(CHINESE, text)] == ([kind] if kind else [])


def test_changed_chinese_passage_is_a_near_duplicate() -> None:
    passage = "本周棉花期货震荡走弱，主力合约跌破前期平台。供应方面，新棉采摘进度快于去年，轧花厂收购心态谨慎，籽棉价格小幅回落。"
    changed = passage.replace("去年", "往年")

    ((kind, similarity),) = kinds(passage, changed)

    assert kind == "near duplicate"
    assert 0.7 <= similarity < 1


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("Japanese", "雨の日に自転車で駅まで行くのは危ないので、バスを使うことにした。"),
        ("Korean", "비가 오는 날에는 자전거 대신 버스를 타고 역까지 가기로 했습니다."),
        ("Thai", "วันที่ฝนตกฉันตัดสินใจนั่งรถเมล์ไปสถานีแทนการขี่จักรยาน"),
    ],
)
def test_unspaced_scripts_are_found_inside_a_text(language: str, text: str) -> None:
    assert unspaced_letters(text) >= 12, language
    assert [kind for kind, _ in kinds(text, f"XYZ 123 {text} abc " + "x y z " * 30 + CHINESE)] == ["containment"]


def test_english_example_is_found_in_a_mostly_chinese_text() -> None:
    assert [
        kind for kind, _ in kinds(EXAMPLE, f"{CHINESE}{EXAMPLE}{CHINESE} ICBC ABC CCB BOC, GDP 2023 CPI PPI PMI")
    ] == ["containment"]


def test_short_texts_match_by_equality_only() -> None:
    texts = [
        "joy",
        "card_swallowed",
        "not-counterfactual",
        "transfer_not_received_by_recipient",
        "sci.crypt",
        "very good product",
    ]
    index = ExampleIndex([ExampleText("T", "response", number, text) for number, text in enumerate(texts)])

    assert index.short == set(range(6))
    assert [match.kind for match in index.matches("Joy!")] == ["normalised"]
    assert index.matches("what a joy it is to see a very good product of theirs") == []


def test_four_words_are_enough() -> None:
    index = ExampleIndex([ExampleText("T", "query", 0, "Keep Norwegian kroner there")])

    assert index.short == set()
    assert [match.kind for match in index.matches("why can I not keep norwegian kroner there, as before?")] == [
        "containment"
    ]


def test_jaccard_threshold_is_exact() -> None:
    # 9 words are 7 shingles; a tenth word adds one, three further add three: 7/10 is in, 7/11 is not.
    nine = "one two three four five six seven eight nine"

    assert kinds(nine, nine + " a b c") == [("near duplicate", 0.7)]
    assert kinds(nine, nine + " a b c d") == [("containment", 1.0)]


def test_hindi_vowel_signs_stay_in_the_word() -> None:
    assert words("हिन्दी में") == ["हिन्दी", "में"]


@given(st.text(alphabet="abcXYZ019 .,;-_'!äß", max_size=40))
def test_case_blanks_and_punctuation_do_not_count(text: str) -> None:
    changed = " ".join(text.upper()).replace(".", "!")

    assert compact(words(changed)) == compact(words(text))


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]), min_size=4, max_size=30))
def test_every_text_is_found_in_itself_and_in_a_longer_one(tokens: list[str]) -> None:
    text = " ".join(tokens)

    assert kinds(text, text) == [("exact", 1.0)]
    assert kinds(text, f"before it {text} and behind it something that goes on") != []


@given(st.text(max_size=60), st.text(max_size=60))
def test_matching_never_fails_and_similarity_is_a_share(example: str, text: str) -> None:
    for _, similarity in kinds(example, text):
        assert 0 < similarity <= 1
    assert shingled(text).num_words >= 0
