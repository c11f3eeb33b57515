"""random.js: torch's noise, bit for bit."""

import numpy as np
import pytest
import torch

from t2v_helpers.core import seeding

SEEDS = [0, 1, 1234, 2**31, 2**32 - 1]
SHAPES = [(8, 16, 8, 8), (16, 16, 8, 8)]  # latents of today's model, and of twice the channels


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_noise_of_a_seed_is_that_of_python(js, shape):
    count = int(np.prod(shape))
    found = js("random.js", "data.seeds.map((seed) => [...new Int32Array(m.noise(seed, data.count).buffer)])",
               {"seeds": SEEDS, "count": count})  # fmt: skip
    noise = np.array(found, dtype=np.int32).view(np.float32)
    expected = seeding.noise(SEEDS, shape).flatten(1).numpy()
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert (noise.view(np.int32) == expected.view(np.int32)).sum() == len(SEEDS) * count
    else:  # another processor rounds torch's logarithms and sines otherwise
        np.testing.assert_allclose(noise, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 8, 24])
def test_a_count_that_torch_would_fill_otherwise_is_refused(js, count):
    said = js("random.js", "(() => { try { m.noise(1, data); } catch (error) { return error.message; } })()", count)
    assert f"count={count}" in said
