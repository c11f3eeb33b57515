"""The measures of a whole video: flow, Frechet distance. Each against a value known without it."""

import numpy as np
import pytest
import torch
from scipy import linalg

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics import power


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
    with pytest.raises(ValueError, match="1 frames"):
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
    found = metrics.features(clips)
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


@pytest.mark.parametrize("size", [(8, 64), (64, 15), (1, 1)])
def test_frames_too_small_for_the_flow_are_refused_and_end_nothing(size):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels"):
        metrics.warped_error(np.zeros((2, *size, 3), np.uint8))
    with pytest.raises(ValueError, match="16x16 and 16x17 pixels"):
        metrics.flow(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 17, 3), np.uint8))


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (200, 16), (17, 64)])
def test_small_frames_have_a_flow(size):
    assert metrics.warped_error(np.zeros((2, *size, 3), np.uint8)) == 0


@pytest.mark.parametrize("measure", [metrics.flicker, metrics.sharpness, metrics.warped_error])
def test_frames_of_0_to_1_are_refused(measure):
    with pytest.raises(ValueError, match=r"float64 \[4, 64, 64, 3\].*\[f h w 3\]"):
        measure(texture(4, 1) / 255)


def test_psnr_of_other_arrays_is_refused():
    clip = texture(2, 1)
    with pytest.raises(ValueError, match="a is float64"):
        metrics.psnr(clip / 255, clip)
    with pytest.raises(ValueError, match="b is list"):
        metrics.psnr(clip, [])


# --- what a user may give instead of a video


OF_FRAMES = [metrics.flicker, metrics.sharpness, metrics.warped_error,
             metrics.frame_similarity, lambda frames: metrics.clip_similarity(frames, "a dog")]  # fmt: skip


@pytest.mark.parametrize("measure", OF_FRAMES)
def test_a_list_of_frames_and_a_tensor_are_measured_as_an_array_is(measure):
    clip = texture(4, 1)
    for other in (list(clip), torch.from_numpy(clip)):
        assert repr(measure(other)) == repr(measure(clip))


@pytest.mark.parametrize("measure", OF_FRAMES)
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda clip: [clip[0], clip[1, :40]], "differ in size"),
        (lambda clip: [clip, clip[:3]], "differ in size"),
        (lambda clip: [], r"float64 \[0\]"),
        (lambda clip: clip[:0], r"\[0, 64, 64, 3\]"),
        (lambda clip: np.where(clip > 9, np.nan, clip), "frames is float64 .*uint8"),
        (lambda clip: clip.astype(int) * 3, "frames is int64"),
        (lambda clip: torch.rand(4, 64, 64, 3, requires_grad=True), "frames is not an array .*requires grad"),
        (lambda clip: "dog.mp4", "frames is <U7"),
    ],
)
def test_what_is_no_video_is_refused_by_every_measure(measure, change, word):
    with pytest.raises(ValueError, match=word):
        measure(change(texture(4, 1)))


@pytest.mark.parametrize("other", [None, [[1, 2]], np.zeros((16, 16, 3))])
def test_the_flow_of_what_is_no_frame_is_refused(other):
    with pytest.raises(ValueError, match=r"uint8 \[f h w 3\]"):
        metrics.flow(texture(1, 0)[0], other)


@pytest.mark.parametrize("clips", [[texture(4, 1), texture(4, 1)], [texture(4, 1), texture(3, 1)], []])
@pytest.mark.parametrize("measure", [metrics.read, metrics.features, lambda clips: metrics.disturbed(clips, "blur")])
def test_the_judge_wants_one_array_of_clips(measure, clips):
    with pytest.raises(ValueError, match="videos are list, but .*: np.stack makes one array of clips of one length"):
        measure(clips)


def test_an_unknown_way_to_disturb_is_named():
    with pytest.raises(ValueError, match="disturbance='fog'"):
        metrics.disturbed(texture(2, 1)[None], "fog")


# --- what a user may give instead of numbers


def test_features_may_be_lists_tensors_and_of_one_number():
    a, b = (np.random.default_rng(k).normal(k, 1, (9, 3)) for k in range(2))
    wanted = metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(a.tolist(), list(b)) == wanted
    assert metrics.frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == wanted
    one = (a[:, 0].mean() - b[:, 0].mean()) ** 2 + (a[:, 0].std(ddof=1) - b[:, 0].std(ddof=1)) ** 2
    assert metrics.frechet_distance(a[:, :1], b[:, :1]) == pytest.approx(one)


@pytest.mark.parametrize("given", [["a", "b"], [[1], [1, 2]], (x for x in (1, 2)), {1: 2, 3: 4}, [1j, 2]])
def test_what_is_no_array_of_numbers_is_refused(given):
    for measure in (metrics.bootstrap, lambda a: metrics.bootstrap([1, 2], a), lambda a: metrics.frechet_distance(a, a),
                    lambda a: power.simulated(a, [1, 2], 5)):  # fmt: skip
        with pytest.raises(ValueError, match="is not an array of numbers"):
            measure(given)


def test_variety_is_the_distance_of_two_videos_and_the_mean_over_all_pairs():
    dark, light = np.full((2, 4, 4, 3), 20, np.uint8), np.full((2, 4, 4, 3), 250, np.uint8)
    assert metrics.variety(np.stack([dark, dark, dark])) == 0
    assert metrics.variety(np.stack([dark, light])) == pytest.approx(230)  # and not 26, as uint8 would have it
    assert metrics.variety(np.stack([dark, dark, light])) == pytest.approx(2 / 3 * 230)


@pytest.mark.parametrize("bad", [np.zeros((1, 2, 4, 4, 3), np.uint8), np.zeros((2, 2, 4, 4, 3)), [1, 2]])
def test_variety_wants_several_videos(bad):
    with pytest.raises(ValueError, match="videos are .*: use uint8 .n f h w 3. with n at least 2"):
        metrics.variety(bad)
