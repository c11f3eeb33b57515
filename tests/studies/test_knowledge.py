"""knowledge: one thing in a prompt changes at a time, and the committed table is whole and of the shipped model."""

from dataclasses import astuple

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.model import denoising, generate
from t2v_helpers.studies import knowledge


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(knowledge.SETTINGS, "steps", 2)
        yield


@pytest.fixture(scope="module")
def line(few_steps, toy_pipe):
    return knowledge.line(toy_pipe, 3)


# --- what is asked


@pytest.mark.parametrize("seed", range(12))
def test_a_sentence_says_all_four_parts_and_the_other_words_differ_in_each(seed):
    s = knowledge.sentence(seed)
    assert all(a != b for a, b in zip(astuple(s.labels), astuple(s.other), strict=True))
    assert cartoon.parse(s.prompt) == s.labels and cartoon.unknown_words(s.prompt) == []
    assert s.prompt == "{subject} is {action} {place} {style}".format(**s.phrases)
    assert knowledge.sentence(seed) == s


@pytest.mark.parametrize("seed", range(12))
def test_each_wording_changes_what_it_says(seed):
    s, empty = knowledge.sentence(seed), {"subject": None, "action": None, "place": "room", "style": "plain"}
    wordings = knowledge.wordings(s)
    for part in knowledge.PARTS:
        assert s.phrases[part] not in wordings[f"without {part}"]
        assert cartoon.parse(wordings[f"other {part}"]) == cartoon.Labels(
            **{p: getattr(s.other if p == part else s.labels, p) for p in knowledge.PARTS}
        )
        if empty[part]:
            assert getattr(cartoon.parse(wordings[f"without {part}"]), part) == empty[part]
    assert sorted(wordings["shuffled"].split()) == sorted(s.prompt.split())
    assert cartoon.parse(wordings["three times"]) == cartoon.parse(wordings["without small words"]) == s.labels
    assert all(cartoon.unknown_words(wordings[way]) for way in ("misspelt", "unknown subject", "two of them", "not"))
    assert cartoon.unknown_words(wordings["two subjects"]) == cartoon.unknown_words(knowledge.NOTHING) == []
    assert s.other.subject in wordings["two subjects"] and len(set(wordings.values())) == len(wordings)


# --- what is made


def test_text_vectors_of_the_words_give_the_video_of_the_words(toy_pipe):
    s = knowledge.sentence(0)
    spec = knowledge.spec_of(s, s.prompt)
    text = denoising.encode_prompt(toy_pipe, spec)
    assert np.array_equal(knowledge.from_text(toy_pipe, text, spec), generate.generate(toy_pipe, spec).frames)


def test_mixed_texts_hold_rows_of_both_sentences(toy_pipe):
    s = knowledge.sentence(0)
    here, there = (
        denoising.encode_prompt(toy_pipe, knowledge.spec_of(s, p)) for p in (s.prompt, s.replaced("subject"))
    )
    mixed = knowledge.texts(toy_pipe, s)
    from_there = [i for i in range(here.shape[1]) if torch.equal(mixed["its row alone"][1, i], there[1, i])]
    assert from_there[-1] == 2 and torch.equal(mixed["all rows after"][1, 3:], there[1, 3:])
    assert torch.equal(mixed["all rows after"][1, :3], here[1, :3])
    assert all(torch.equal(text[0], here[0]) for text in mixed.values()), "the negative prompt stays"


def test_a_change_is_the_mean_of_its_square():
    video, other = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8)
    other[1, :2, 2:4] = 100
    found = knowledge.change(video, other)
    assert found.shape == (2, 8, 8) and found[1, 0, 1] == 100 and found.sum() == 100
    assert knowledge.change(other, video, 4)[1, 0, 0] == 25


def test_tied_values_share_their_mean_rank():
    a, b = np.array([[1.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 2.0], [2.0, 2.0]])
    ranks = [1.5, 1.5, 3, 4], [1, 3, 3, 3]
    assert knowledge.rank_correlation(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert knowledge.rank_correlation(a, -a) == pytest.approx(-1)


def test_a_line_holds_every_way(line):
    s = knowledge.sentence(3)
    more = {"its row alone", "all rows after", "halfway", "negative, said", "negative, open"}
    assert line["seed"] == 3 and line["prompt"] == s.prompt
    assert set(line["found"]) == {*knowledge.wordings(s), *more}
    assert set(line["ranks"]) == {*knowledge.PARTS, knowledge.CONTROL}
    assert all(-1 <= r <= 1 for row in line["ranks"].values() for r in row.values())


def test_a_cell_is_what_is_read_in_the_video_of_its_words(line, toy_pipe):
    s = knowledge.sentence(3)
    video = generate.generate(toy_pipe, knowledge.spec_of(s, knowledge.wordings(s)["other place"])).frames
    assert line["found"]["other place"] == knowledge.read(video) == list(astuple(metrics.read(video[None])[0]))


# --- the table


def row(seed, *read):
    return {"seed": seed, "prompt": "", "found": {"as it is": list(read)}}


def test_shares_are_counted_against_the_sentence_of_each_seed():
    first, second = knowledge.sentence(0), knowledge.sentence(1)
    lines = [row(0, *astuple(first.labels)), row(1, *astuple(second.other))]
    assert knowledge.share(lines, "as it is", "subject") == metrics.Share(1, 2)
    assert knowledge.share(lines[1:], "as it is", "place", "other") == metrics.Share(1, 1)


def test_what_the_table_lacks_is_said():
    lines = [row(0, "dog", "dancing", "moon", "plain")]
    with pytest.raises(ValueError, match="'sideways' .*as it is"):
        knowledge.share(lines, "sideways", "subject")
    with pytest.raises(ValueError, match="part='colour' .*subject, action, place, style"):
        knowledge.share(lines, "as it is", "colour")
    with pytest.raises(ValueError, match="no rows"):
        knowledge.share([], "as it is", "subject")


def test_the_committed_table_is_what_the_study_asks():
    lines = knowledge.STUDY.load()
    assert len(knowledge.summary(lines).splitlines()) == 1 + len(lines[0]["found"])
    for found in lines:
        s = knowledge.sentence(found["seed"])
        assert found["prompt"] == s.prompt and set(knowledge.wordings(s)) < set(found["found"])
