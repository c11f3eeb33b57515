"""seeding: a sample depends on its own seed alone, and no two seeds share their noise."""

import numpy as np
import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from t2v_helpers.core import seeding


def test_a_sample_is_the_same_in_any_batch():
    together = seeding.noise([3, 1, 4], (4, 2, 8, 8))
    assert together.shape == (3, 4, 2, 8, 8) and together.dtype == torch.float32
    for i, seed in enumerate([3, 1, 4]):
        assert torch.equal(together[i : i + 1], seeding.noise([seed], (4, 2, 8, 8)))


def test_noise_equals_what_diffusers_draws_from_a_list_of_generators():
    theirs = randn_tensor((2, 4, 2, 8, 8), generator=[seeding.generator(5), seeding.generator(6)])
    assert torch.equal(seeding.noise([5, 6], (4, 2, 8, 8)), theirs)


def test_different_seeds_give_different_noise():
    seeds = [0, 1, 2**31, seeding.MAX_SEED]
    rows = seeding.noise(seeds, (64,))
    assert len({tuple(row.tolist()) for row in rows}) == len(seeds)


def test_the_limit_is_where_torch_begins_to_repeat_itself():
    draws = [torch.randn(8, generator=torch.Generator().manual_seed(s)) for s in (0, seeding.MAX_SEED + 1)]
    assert torch.equal(*draws)


def test_noise_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    seeding.noise([0], (8,))
    assert torch.equal(before, torch.random.get_rng_state())


def test_numpy_integers_are_seeds():
    assert torch.equal(seeding.noise(np.arange(2), (8,)), seeding.noise([0, 1], (8,)))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "7", None, float("nan")])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed=.*0 to 4294967295"):
        seeding.generator(seed)


def test_no_seeds():
    with pytest.raises(ValueError, match="seeds is empty"):
        seeding.noise([], (4,))


@pytest.mark.parametrize("shape", [(4, 0), (-1,), (2.5,)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="shape=.*whole number"):
        seeding.noise([0], shape)


@pytest.mark.parametrize("one", [5, None, np.array(5), torch.tensor(5)])
def test_one_number_is_no_list(one):
    for draw in (
        lambda: seeding.noise(one, (1,)),
        lambda: seeding.noise([0], one),
        lambda: seeding.draw(seeding.generator(0), one),
    ):
        with pytest.raises(ValueError, match=r"^(seeds|shape)=.*5.* is no list: use a list of|=None is no list: use"):
            draw()


def test_a_seed_is_no_source_of_noise():
    with pytest.raises(ValueError, match=r"source is of type int: use seeding.generator\(seed\)"):
        seeding.draw(5, (1,))
