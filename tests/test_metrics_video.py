"""The measures of a whole video: flow, Frechet distance, intervals. Each against a value known without it."""

import numpy as np
import pytest
from scipy import linalg

from t2v_helpers import cartoon, metrics


def texture(f: int, dx: float, seed: int = 0) -> np.ndarray:
    """A smooth picture that moves dx pixels to the right in every frame: uint8 [f 64 64 3]."""
    waves = np.random.default_rng(seed).uniform(0.1, 0.5, (6, 2))
    phases = np.random.default_rng(seed + 1).uniform(0, 6, (6, 3))
    y, x = np.mgrid[:64, :64]
    clip = [sum(np.sin(wy * y + wx * (x - dx * t))[..., None] for wy, wx in waves) for t in range(f)]
    colour = [
        sum(
            np.sin(wy * y[..., None] + wx * (x - dx * t)[..., None] + p)
            for (wy, wx), p in zip(waves, phases, strict=True)
        )
        for t in range(f)
    ]
    return np.stack([(c + d) * 10 + 128 for c, d in zip(clip, colour, strict=True)]).clip(0, 255).astype(np.uint8)


# --- temporal consistency


def test_a_still_video_has_no_warped_error():
    assert metrics.warped_error(np.repeat(texture(1, 0), 4, axis=0)) == 0


def test_motion_is_forgiven_and_flicker_is_not():
    moving = texture(6, 1.5)
    light = np.array([0, 25] * 3)[:, None, None, None]  # [f 1 1 1]
    flickering = (moving.astype(int) + light).clip(0, 255).astype(np.uint8)
    unwarped = (np.diff(moving / 255.0, axis=0) ** 2).mean()
    assert metrics.warped_error(moving) < 0.05 * unwarped
    assert metrics.warped_error(flickering) > 10 * metrics.warped_error(moving)


def test_the_flow_finds_the_motion():
    moving = texture(2, 2.0)
    found = metrics.flow(*moving)[16:48, 16:48]  # [h w 2]
    assert found.shape == (32, 32, 2) and np.abs(found.mean(axis=(0, 1)) - (2, 0)).max() < 0.1


@pytest.mark.parametrize("measure", [metrics.warped_error])
def test_one_frame_is_no_video(measure):
    with pytest.raises(ValueError, match="1 frame, but 2 are needed"):
        measure(texture(1, 0))
    with pytest.raises(ValueError, match=r"uint8 \[f h w 3\]"):
        measure(np.zeros((2, 64, 64, 3)))


# --- the Frechet distance


def test_the_distance_of_two_gaussians_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(500, 4)), 2 * rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) + 1
    s_a, s_b = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(s_a @ s_b).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a + s_b - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a), rel=1e-9)


def test_a_shift_counts_with_its_square_and_a_set_is_near_itself():
    a = np.random.default_rng(0).normal(size=(50, 192))  # fewer videos than features
    assert metrics.frechet_distance(a, a + 2) == pytest.approx(4 * 192, rel=1e-6)
    assert metrics.frechet_distance(a, a) < 1e-6


def test_small_sets_of_one_kind_look_far_apart():
    rng = np.random.default_rng(0)
    near, far = (metrics.frechet_distance(rng.normal(size=(n, 16)), rng.normal(size=(n, 16))) for n in (2000, 20))
    assert far > 20 * near


def test_the_features_are_what_the_judge_reads_from():
    clips = np.stack([cartoon.item(5, i, 8, split="all").frames for i in range(3)])  # [b f h w c]
    found = metrics.features(clips, batch_size=2)
    judge = metrics.load_judge()
    logits = found @ judge.heads["subject"].weight.detach().double().numpy().T
    subjects = (logits + judge.heads["subject"].bias.detach().double().numpy()).argmax(axis=1)
    assert found.shape == (3, 192)
    assert [cartoon.SUBJECTS[i] for i in subjects] == [labels.subject for labels in metrics.read(clips)]


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "at least 2"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "d the same"),
        (np.zeros(5), np.zeros((5, 4)), "at least 2"),
        ([], [], "at least 2"),
        (np.full((5, 4), np.nan), np.zeros((5, 4)), "NaN or infinity"),
    ],
)
def test_features_that_are_none_are_refused(a, b, word):
    with pytest.raises(ValueError, match=word):
        metrics.frechet_distance(a, b)


# --- intervals


def test_the_interval_holds_the_true_mean_19_times_in_20():
    rng = np.random.default_rng(0)
    found = [metrics.bootstrap(rng.exponential(size=30), seed=k) for k in range(150)]
    assert 0.87 < np.mean([m.low <= 1 <= m.high for m in found]) <= 1


def test_pairs_cancel_what_the_seeds_have_in_common():
    rng = np.random.default_rng(0)
    seeds = rng.normal(scale=10, size=40)
    a, b = seeds + 1 + rng.normal(scale=0.1, size=40), seeds
    paired, alone = metrics.bootstrap(a, b), metrics.bootstrap(a)
    assert paired.value == pytest.approx(1, abs=0.1) and paired.low > 0.9
    assert alone.high - alone.low > 20 * (paired.high - paired.low)
    assert paired.n == 40 and metrics.bootstrap(a, b) == paired


def test_equal_values_are_one_point():
    assert metrics.bootstrap([1.0, 1.0, 1.0]) == metrics.Measure(1.0, 1.0, 1.0, 3)


@pytest.mark.parametrize(
    ("values", "other", "word"),
    [([1.0], None, "2 numbers or more"), ([], None, "2 numbers"), ([1, 2], [1, 2, 3], "one length"),
     ([1, np.nan], None, "NaN or infinity"), ([1, 2], [1, np.inf], "NaN or infinity")],
)  # fmt: skip
def test_values_without_an_interval_are_refused(values, other, word):
    with pytest.raises(ValueError, match=word):
        metrics.bootstrap(values, other)


@pytest.mark.parametrize("size", [(8, 64), (64, 15), (1, 1)])
def test_frames_too_small_for_the_flow_are_refused_and_end_nothing(size):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels, but the flow needs one size, 16 at least"):
        metrics.warped_error(np.zeros((2, *size, 3), np.uint8))
    with pytest.raises(ValueError, match="16x16 and 16x17 pixels"):
        metrics.flow(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 17, 3), np.uint8))


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (200, 16), (17, 64)])
def test_small_frames_have_a_flow(size):
    assert metrics.warped_error(np.zeros((2, *size, 3), np.uint8)) == 0


@pytest.mark.parametrize(
    "measure", [metrics.flicker, metrics.sharpness, metrics.direction, metrics.dominant_colours, metrics.warped_error]
)
def test_frames_of_0_to_1_are_refused(measure):
    with pytest.raises(ValueError, match=r"float64 \[4, 64, 64, 3\], but uint8 \[f h w 3\]"):
        measure(texture(4, 1) / 255)


def test_psnr_of_other_arrays_is_refused():
    clip = texture(2, 1)
    with pytest.raises(ValueError, match="a is float64 .*, but uint8 with something in it is needed"):
        metrics.psnr(clip / 255, clip)
    with pytest.raises(ValueError, match="b is list, but uint8"):
        metrics.psnr(clip, [])


@pytest.mark.parametrize("size", [0, -1, "4"])
def test_a_batch_of_no_size_is_refused(size):
    for measure in (metrics.features, lambda videos, batch_size: metrics.read(videos, batch_size=batch_size)):
        with pytest.raises(ValueError, match="batch_size=.* is not allowed: give a whole number"):
            measure(texture(2, 1)[None], batch_size=size)
