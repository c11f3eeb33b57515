"""Rows of an embedding that learn: their tokens alone are read differently, and the old embedding comes back."""

import pytest
import torch

from t2v_helpers.inside import learned_rows
from t2v_helpers.model import loading

NEW, OLD = torch.tensor([[1, 5, 9, 2]]), torch.tensor([[1, 6, 7, 2]])  # [b t]


@pytest.fixture
def encoder(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32").text_encoder


def filled(encoder, tokens=(5, 9)):
    rows = learned_rows.add(encoder, list(tokens))
    rows.change.data = torch.randn(rows.change.shape, generator=torch.Generator().manual_seed(0))
    return rows


def test_they_begin_as_no_change_and_all_else_is_frozen(encoder):
    before = encoder(NEW)[0]
    rows = learned_rows.add(encoder, [5, 9])
    assert torch.equal(encoder(NEW)[0], before)
    assert [p for p in encoder.parameters() if p.requires_grad] == [rows.change]


def test_only_their_own_tokens_move_each_by_its_row(encoder):
    table, rows = encoder.get_input_embeddings(), filled(encoder)
    moved = torch.zeros(4, 32)
    moved[1:3] = rows.change
    torch.testing.assert_close(rows(NEW), table(NEW) + moved)
    assert torch.equal(rows(OLD), table(OLD))


def test_sentences_without_their_tokens_are_read_bit_for_bit_as_before(encoder):
    before = encoder(OLD)[0]
    filled(encoder)
    assert torch.equal(encoder(OLD)[0], before) and not torch.allclose(encoder(NEW)[0][:, 1:], before[:, 1:])


def test_the_very_same_embedding_comes_back(encoder):
    table, names = encoder.get_input_embeddings(), encoder.state_dict().keys()
    filled(encoder)
    assert [name.rpartition(".")[2] for name in encoder.state_dict().keys() - names] == ["change"]
    learned_rows.remove(encoder)
    assert encoder.get_input_embeddings() is table and learned_rows.find(encoder) is None
    learned_rows.remove(encoder)  # nothing to do


def test_merged_they_are_read_alike_and_the_class_is_the_old_one(encoder):
    before = filled(encoder)(NEW)
    learned_rows.merge(encoder)
    assert type(encoder.get_input_embeddings()) is torch.nn.Embedding
    torch.testing.assert_close(encoder.get_input_embeddings()(NEW), before)


def test_the_scale_is_linear_and_comes_back(encoder):
    table, rows = encoder.get_input_embeddings(), filled(encoder)
    whole = rows(NEW) - table(NEW)
    with pytest.raises(KeyError), rows.scaled(0.5), rows.scaled(0.5):
        torch.testing.assert_close(rows(NEW) - table(NEW), whole / 4)
        raise KeyError
    torch.testing.assert_close(rows(NEW) - table(NEW), whole)


def test_half_precision_stays_what_it_was(encoder):
    encoder.bfloat16()
    rows = learned_rows.add(encoder, [5])
    assert rows.change.dtype == torch.float32 and encoder.dtype == rows(NEW).dtype == torch.bfloat16
