"""words.js: the same words are known as in Python, and what cannot be made is refused in one plain sentence."""

import pytest

from t2v_helpers import cartoon
from t2v_helpers.core.paths import ROOT

SENTENCES = [cartoon.caption(labels, i, i // 5, i // 7) for i, labels in enumerate(cartoon.combinations())]
STRANGE = ["a zebra is dancing", "a dog, a cat: DOG!", "🦊 a dog €", "...", "don't", "ein_hund", "", "½ dog ² x"]
STRANGE += ["a dog\u0301", "do\u0301g", "\u203c", "1\ufe0f\u20e3 \U0001f1e9\U0001f1ea", "\U0001f44b\U0001f3fd\ufe0f"]
STRANGE += ["\U0001f469\u200d\U0001f680 a \u2764\ufe0f dog", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f"]
COMPLAINT = "m.complaint(data.text, data.world, new (await import(data.tokens)).Tokenizer(data.tokenizer, 24))"


@pytest.fixture
def complaint(js, known):
    tokens = (ROOT / "web" / "src" / "tokens.js").as_uri()

    def of(text: str) -> str:
        data = {"text": text, "world": known["world"], "tokenizer": known["tokenizer"], "tokens": tokens}
        return js("words.js", f"(async () => {COMPLAINT})()", data)

    return of


def test_unknown_words_are_those_of_the_grammar(js, known):
    texts = STRANGE + SENTENCES[::50]
    data = {"texts": texts, "words": known["world"]["vocabulary"]}
    found = js("words.js", "data.texts.map((text) => m.unknownWords(text, data.words))", data)
    assert found == [cartoon.unknown_words(text) for text in texts]


def test_sentences_are_captions_and_their_parts_are_found_again(js, known):
    labels = cartoon.combinations()
    asked = [{"subject": x.subject, "action": x.action, "place": x.place, "style": x.style} for x in labels]
    data = {"asked": asked, "world": known["world"], "texts": SENTENCES}
    assert js("words.js", "data.asked.map((one) => m.sentence(one, data.world))", data) == [
        *map(cartoon.caption, labels)
    ]
    assert js("words.js", "data.texts.map((one) => m.parts(one, data.world))", data) == asked


@pytest.mark.parametrize("text, said", [
    ("", "empty"), (" \n ", "empty"), ("a zebra is dancing", "“zebra”"), ("a dog 🦊", "“🦊”"), ("?!", "“?!”"),
    ("dog " * 30, "30 words, but only 22 fit"), ("x" * 10_000, "“xxxxxxxxxxxxxxxxxxxxxxxx…”"),
    (" ".join(f"word{i}" for i in range(1500)), "and 1495 more"), ("a dog \ud800", "half a character"),
    ("a dog\u0301 is dancing", "“do\u01f5”"), ("a dog\u20dd is dancing", "“U+20DD”"), ("a do\u200bg", "“U+200B”"),
    ("a (dog:1.3) is dancing", "weights of words, as in “(dog:1.3)”"), ("a dog++ is dancing", "as in “dog++”"),
    ("a [dog] is dancing", "as in “[dog]”"), ("a dog :1.3", "as in “dog :1.3”"), ("a dog at 10:30", "know “10”, “30”"),
    ("a dog\u200d \U0001f469", "“U+200D”"), ("a dog \U0001f469\u200d\U0001f680", "know “\U0001f469\u200d\U0001f680”"),
    ("a dog dances and stops--", "know “dances”, “stops”"), ("a dog stops-- and dances", "know “stops”, “dances”"),
    ("a dog-- is dancing", "as in “dog--”"), ("a horse-- and [dog]", "as in “horse--”"),
    ("a zebra-- and [dog]", "as in “[dog]”"),
    ("a dog\u3164 is dancing", "“U+3164”"), ("a dog is dancing\0", "“U+0000”"), ("a dog\ufeff", "“U+FEFF”"),
])  # fmt: skip
def test_what_cannot_be_made_is_named_shortly(complaint, text, said):
    assert said in complaint(text) and len(complaint(text)) < 300


@pytest.mark.parametrize(
    "text",
    [*SENTENCES[::200], "a dog is dancing--", "A Robot is dancing in the Times Square!", "a dog\tis\r\ndancing\u3000"],
)
def test_what_can_be_made_is_not_complained_of(complaint, text):
    assert complaint(text) == ""


@pytest.mark.parametrize("word, first", [("dgo", "dog"), ("dans", "dancing"), ("elefant", "elephant"), ("kat", "cat")])
def test_a_word_spelt_nearly_right_is_guessed(js, known, word, first):
    data = {"word": word, "words": known["world"]["vocabulary"]}
    assert js("words.js", "m.suggestions(data.word, data.words)", data)[0] == first


@pytest.mark.parametrize("word", ["", "x", "helicopter", "x" * 10_000])
def test_nothing_is_guessed_for_a_word_that_is_like_none(js, known, word):
    data = {"word": word, "words": known["world"]["vocabulary"]}
    assert js("words.js", "m.suggestions(data.word, data.words)", data) == []
