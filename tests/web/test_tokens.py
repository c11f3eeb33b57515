"""tokens.js: the tokens of transformers' CLIPTokenizer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.core.paths import PACKAGE

TEXTS = [
    "", " ", "a dog", "A Robot is dancing in the Times Square!", "it's a cat's, isn't it", "zebra  2026\t½",
    "ΟΔΟΣ İstanbul", "naïve cafe\u0301", "🦊🦊 ... ?!x", "<|startoftext|>a<|endoftext|> b", "中文字", "dog " * 40,
    "x" * 300, "!", "''s 'll'",
]  # fmt: skip
LETTERS = st.characters(exclude_categories=("Cs", "Cn"))  # of the newest, libraries disagree which are letters
READ = """(() => {
  const tokenizer = new m.Tokenizer(data.tokenizer, 24);
  return data.texts.map((text) => [tokenizer.read(text), tokenizer.padded(text)]);
})()"""


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer.from_pretrained(PACKAGE / "weights" / "model" / "tokenizer")


def theirs(tokenizer, texts):
    plain = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    padded = [tokenizer(text, padding="max_length", truncation=True).input_ids for text in texts]
    return [list(pair) for pair in zip(plain, padded, strict=True)]


def test_tokens_of_strange_texts(js, known, tokenizer):
    assert js("tokens.js", READ, {"tokenizer": known["tokenizer"], "texts": TEXTS}) == theirs(tokenizer, TEXTS)


def test_tokens_of_every_sentence_of_the_grammar(js, known, tokenizer):
    texts = [cartoon.caption(labels, i, i // 5, i // 7) for i, labels in enumerate(cartoon.combinations())]
    assert js("tokens.js", READ, {"tokenizer": known["tokenizer"], "texts": texts}) == theirs(tokenizer, texts)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(LETTERS, max_size=30), min_size=50, max_size=100))
def test_tokens_of_any_text(js, known, tokenizer, texts):
    assert js("tokens.js", READ, {"tokenizer": known["tokenizer"], "texts": texts}) == theirs(tokenizer, texts)
