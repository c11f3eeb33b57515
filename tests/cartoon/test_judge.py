"""The judge network: what goes in, what comes out, and how well it reads renders that no training has seen."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import stored
from t2v_helpers.core import tensors

FRESH = 77_001  # a stream of renders that neither the training nor the benchmark draws from


def renders(n: int, frames: int = 16) -> tuple[np.ndarray, list[cartoon.Labels]]:
    items = [cartoon.item(FRESH, i, frames, split="all") for i in range(n)]
    return np.stack([item.frames for item in items]), [item.labels for item in items]


@pytest.fixture(scope="module")
def fresh() -> tuple[np.ndarray, list[cartoon.Labels]]:
    return renders(200)


@pytest.mark.parametrize("frames", [1, 8, 16, 24])
def test_gives_logits_for_every_class_at_any_length(frames):
    logits = judges.Judge().eval()(torch.zeros(2, 3, frames, 64, 64))
    assert {name: x.shape for name, x in logits.items()} == {n: (2, len(c)) for n, c in judges.CLASSES.items()}


def test_differences_are_to_the_next_frame():
    x = torch.randn(2, 3, 4, 5, 5)
    y = judges.with_differences(x)
    torch.testing.assert_close(y[:, :3], x)
    torch.testing.assert_close(y[:, 3:, :-1], x[:, :, 1:] - x[:, :, :-1])
    assert not y[:, 3:, -1].any()


def test_decides_for_the_largest_logits():
    wanted = cartoon.combinations()[::37]
    logits = {n: 5 * torch.nn.functional.one_hot(t, len(judges.CLASSES[n])) for n, t in judges.targets(wanted).items()}
    assert judges.decide({name: x.float() for name, x in logits.items()}) == wanted


@pytest.mark.parametrize(
    "elephant, riding, answer",
    [(9.0, 2.0, ("elephant", "dancing")), (2.0, 9.0, ("monkey", "riding a horse"))],
)
def test_never_decides_for_what_cannot_be_drawn(elephant, riding, answer):
    logits = {name: torch.zeros(1, len(classes)) for name, classes in judges.CLASSES.items()}
    logits["subject"][0, cartoon.SUBJECTS.index("elephant")] = elephant
    logits["subject"][0, cartoon.SUBJECTS.index("monkey")] = 1.0
    logits["action"][0, cartoon.ACTIONS.index("riding a horse")] = riding
    logits["action"][0, cartoon.ACTIONS.index("dancing")] = 1.0
    (labels,) = judges.decide(logits)
    assert (labels.subject, labels.action) == answer


def test_no_disturbance_changes_nothing():
    x = torch.rand(3, 2, 64, 64) * 2 - 1
    torch.testing.assert_close(judges.disturb(x, torch.Generator()), x)


def test_a_shift_moves_right_and_down_and_repeats_the_border():
    x = torch.rand(3, 2, 16, 16)
    y = judges.disturb(x, torch.Generator(), shift=(3, 1))
    torch.testing.assert_close(y[..., 1:, 3:], x[..., :-1, :-3])
    torch.testing.assert_close(y[..., 1:, 0], x[..., :-1, 0])


def test_the_blur_is_opencvs():
    x = torch.rand(3, 2, 32, 32)
    y = judges.disturb(x, torch.Generator(), blur=1.0)
    wanted = cv2.GaussianBlur(x[0, 0].numpy(), (7, 7), 1.0, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(y[0, 0].numpy(), wanted, atol=1e-5)


def test_noise_has_the_strength_asked_for_and_follows_its_generator():
    x = torch.zeros(3, 4, 64, 64)
    a, b = (judges.disturb(x, torch.Generator().manual_seed(5), noise=0.1) for _ in range(2))
    torch.testing.assert_close(a, b)
    assert a.std().item() == pytest.approx(0.1, rel=0.02)


def test_brightness_is_added_and_clipped():
    x = torch.tensor([0.0, 0.95]).view(1, 1, 1, 2)
    assert judges.disturb(x, torch.Generator(), brightness=0.1).flatten().tolist() == pytest.approx([0.1, 1.0])


def test_weights_survive_a_file(tmp_path):
    judge, x = judges.Judge().eval(), torch.randn(1, 3, 4, 64, 64)
    stored.save(judge, tmp_path / "judge.safetensors", {"who": "a test"})
    again = judges.load(tmp_path / "judge.safetensors")
    for name, logits in judge(x).items():
        torch.testing.assert_close(again(x)[name], logits, atol=5e-2, rtol=0)  # fp16 in between
    assert tensors.about(tmp_path / "judge.safetensors") == {"who": "a test"}
    assert not again.training


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors .*t2v train judge"):
        judges.load(tmp_path / "none.safetensors")


def test_weights_cut_short_are_refused(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(judges.WEIGHTS.read_bytes()[:50_000])
    with pytest.raises(ValueError, match=r"cut\.safetensors does not fit this judge"):
        judges.load(path)


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"x": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match=r"other\.safetensors .*fit"):
        judges.load(tmp_path / "other.safetensors")


def test_the_shipped_weights_are_small():
    assert judges.WEIGHTS.stat().st_size <= 1_000_000


@pytest.mark.parametrize("disturbance", metrics.DISTURBANCES)
def test_reads_fresh_renders(fresh, disturbance):
    videos, labels = fresh
    counted = metrics.adherence(metrics.read(metrics.disturbed(videos, disturbance)), labels)
    assert {name: counted[name].share for name in metrics.LABELS if counted[name].share < 0.99} == {}


@pytest.mark.parametrize("frames", [8, 24])
def test_reads_shorter_and_longer_clips(frames):
    videos, labels = renders(64, frames)
    counted = metrics.adherence(metrics.read(videos), labels)
    assert {name: counted[name].share for name in metrics.LABELS if counted[name].share < 0.95} == {}


def test_does_not_read_what_is_not_there(fresh):
    videos, labels = fresh
    still = np.repeat(videos[:, :1], 16, axis=1)
    turned = np.ascontiguousarray(videos[:, ::-1])
    walks = [i for i, x in enumerate(labels) if x.action.startswith("walking")]
    assert metrics.adherence(metrics.read(still), labels)["action"].share < 0.6
    assert metrics.adherence(metrics.read(turned[walks]), [labels[i] for i in walks])["action"].share < 0.5
