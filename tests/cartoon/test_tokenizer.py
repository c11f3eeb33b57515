"""The tokenizer: a token for each word of the world, and every other text still legal."""

from hypothesis import given
from hypothesis import strategies as st

from t2v_helpers import cartoon
from t2v_helpers.cartoon import tokenizer

TOKENIZER = tokenizer.new_tokenizer()


def test_each_word_is_one_token():
    assert {word: len(TOKENIZER(word).input_ids) for word in cartoon.vocabulary()} == dict.fromkeys(
        cartoon.vocabulary(), 3
    )


def test_two_tokenizers_are_alike():
    assert tokenizer.new_tokenizer().get_vocab() == TOKENIZER.get_vocab()


def test_case_does_not_matter_and_words_keep_apart():
    assert TOKENIZER("A ROBOT").input_ids == TOKENIZER("a robot").input_ids
    spelled = [tuple(TOKENIZER(word).input_ids) for word in cartoon.vocabulary()]
    assert len(set(spelled)) == len(spelled)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_legal(text):
    ids = TOKENIZER(text, padding="max_length", truncation=True).input_ids
    assert len(ids) == tokenizer.MAX_TOKENS and max(ids) < len(TOKENIZER)


def test_a_saved_tokenizer_reads_the_same(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    again = type(TOKENIZER).from_pretrained(tmp_path)
    text = "A monkey is riding a horse around a lake, zebra!"
    assert again(text).input_ids == TOKENIZER(text).input_ids
    assert again.model_max_length == tokenizer.MAX_TOKENS
