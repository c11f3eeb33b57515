"""Fine-tuning: the loss is that of the training, a seed decides everything, and only the given parameters change."""

import numpy as np
import pytest
import torch

from t2v_helpers.core import layout, video
from t2v_helpers.model import loading, lora
from t2v_helpers.training import denoiser, finetune
from t2v_helpers.training.finetune import Examples, Settings


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


def examples(n=3, frames=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Examples(torch.randn(n, 8, frames, 4, 4, generator=generator), torch.randn(n, 24, 32, generator=generator))


def learned(pipe, old=None, **settings):
    parameters = lora.add(pipe, rank=2)
    losses = list(finetune.train(pipe, parameters, examples(), old, Settings(steps=3, batch=4, **settings)))
    return losses, torch.cat([p.detach().flatten() for p in parameters])


def test_the_loss_is_that_of_the_training(toy_pipe):
    x_0, eps, t, text = finetune.batch(examples(), None, Settings(batch=3), 0)

    class Words(torch.nn.Module):
        def forward(self, words):
            return (words,)

    task = denoiser.UnetTask.__new__(denoiser.UnetTask)
    task.modules = torch.nn.ModuleDict({"unet": toy_pipe.unet, "text_encoder": Words()})
    task.settings, task.alphas_cumprod = denoiser.UnetSettings(), toy_pipe.scheduler.alphas_cumprod
    with torch.no_grad():
        wanted, _ = task.loss((x_0, eps, t, text))
        torch.testing.assert_close(finetune.denoising_loss(toy_pipe, x_0, eps, t, text), wanted)


def test_a_seed_decides_the_weights(toy_folder):
    runs = [learned(loading.load(toy_folder, device="cpu", dtype="float32"), seed=s) for s in (0, 0, 1)]
    assert runs[0][0] == runs[1][0] and torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


def test_only_what_is_given_learns_even_where_gradients_are_off(pipe):
    before = {name: p.clone() for name, p in pipe.unet.named_parameters()}
    with torch.no_grad():
        learned(pipe)
    after = dict(pipe.unet.named_parameters())
    frozen = [name for name in after if "lora" not in name]
    assert all(torch.equal(after[name], before[name.replace(".base_layer", "")]) for name in frozen)
    assert any(p.any() for name, p in after.items() if "lora_B" in name)
    assert all(p.grad is None for p in after.values())


def test_it_learns(pipe):
    one = examples(1, frames=1)
    parameters = lora.add(pipe, rank=4)

    def loss():
        with torch.no_grad():
            return sum(
                finetune.denoising_loss(pipe, *finetune.batch(one, None, Settings(batch=32), k)) for k in (1000, 1001)
            )

    before = loss()
    list(finetune.train(pipe, parameters, one, None, Settings(steps=20, batch=4, lr=5e-2, warm_up=2)))
    assert loss() < 0.98 * before


def test_half_of_a_batch_is_old():
    new, old = examples(2, seed=1), examples(2, seed=2)
    *_, text = finetune.batch(new, old, Settings(batch=6, old=0.5), 0)
    of = [any(torch.equal(one, known) for known in old.text) for one in text]
    assert of == [False] * 3 + [True] * 3
    *_, alone = finetune.batch(new, None, Settings(batch=6, old=0.5), 0)
    assert all(any(torch.equal(one, known) for known in new.text) for one in alone)


def test_timesteps_are_spread_over_the_whole_schedule():
    for k in range(5):
        _, _, t, _ = finetune.batch(examples(), None, Settings(batch=10), k)
        assert sorted(int(x) // 100 for x in t) == list(range(10))


def test_cuts_are_frames_in_a_row_of_one_clip():
    clips = Examples(torch.arange(6.0).view(1, 1, 6, 1, 1).expand(1, 8, 6, 4, 4), torch.zeros(1, 24, 32))
    x_0, *_ = finetune.batch(clips, None, Settings(batch=20, frames=3), 0)
    firsts = x_0[:, 0, 0, 0, 0]
    assert torch.equal(x_0[:, 0, :, 0, 0], firsts[:, None] + torch.arange(3.0)) and set(firsts.tolist()) == {0, 1, 2, 3}


def test_encoding_is_the_scaled_mean_of_the_vae(toy_pipe):
    clip = np.random.default_rng(0).integers(256, size=(2, 32, 32, 3), dtype=np.uint8)
    x = layout.fold_frames(layout.to_float(torch.from_numpy(clip[None])))
    with torch.no_grad():
        wanted = toy_pipe.vae.encode(x).latent_dist.mean * toy_pipe.vae.config.scaling_factor
    torch.testing.assert_close(finetune.encode(toy_pipe, [clip, clip])[1].transpose(0, 1), wanted)


def test_texts_are_read_as_the_pipeline_reads_them(toy_pipe):
    wanted, _ = toy_pipe.encode_prompt(
        "a dog", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    torch.testing.assert_close(finetune.read(toy_pipe, ["a cat", "a dog"])[1:], wanted)


def test_tokens_are_read_at_each_step(toy_pipe):
    x_0, eps, t, _ = finetune.batch(examples(), None, Settings(batch=2), 0)
    tokens = finetune.tokens(toy_pipe, ["a cat", "a dog"])
    with torch.no_grad():
        by_tokens = finetune.denoising_loss(toy_pipe, x_0, eps, t, tokens)
        by_text = finetune.denoising_loss(toy_pipe, x_0, eps, t, finetune.read(toy_pipe, ["a cat", "a dog"]))
    torch.testing.assert_close(by_tokens, by_text)


def test_a_word_learns_beside_the_lora_and_no_other_sentence_is_read_differently(pipe):
    clips = Examples(examples().latents, finetune.tokens(pipe, ["a dog", "a dog in sepia", "a cat in sepia"]))
    before = finetune.read(pipe, ["a dog", "a dog in sepia"])
    *_, change = parameters = lora.add(pipe, rank=2, pieces=["s", "e"])
    list(finetune.train(pipe, parameters, clips, None, Settings(steps=3, batch=4)))
    after = finetune.read(pipe, ["a dog", "a dog in sepia"])
    assert torch.equal(after[0], before[0]) and (after[1] - before[1]).abs().max() > 1e-3
    assert change.any() and change.grad is None


GOOD = np.zeros((2, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("clips", "match"),
    [
        (None, "videos is of type NoneType"),
        (5, "videos is of type int"),
        ([], "videos is empty"),
        ([GOOD, GOOD[:1]], r"clip 1 has shape \[1, 32, 32, 3\]"),
        ([GOOD, GOOD[:, :16]], r"clip 1 has shape \[2, 16, 32, 3\]"),
        ([GOOD.astype(float)], r"clip 0 is float64 \[2, 32, 32, 3\]"),
        ([GOOD[0]], r"clip 0 is uint8 \[32, 32, 3\]"),
        (["a.mp4"], "clip 0 is"),
        ([GOOD[:, :20]], "20x32 pixels: use multiples of 16"),
        ([GOOD[:0]], r"clip 0 is uint8 \[0, 32, 32, 3\]"),
    ],
)
def test_clips_that_cannot_be_learned_from_are_refused(toy_pipe, clips, match):
    with pytest.raises(ValueError, match=match):
        finetune.encode(toy_pipe, clips)


def test_clips_of_a_folder_come_with_their_captions(tmp_path):
    frames = np.random.default_rng(0).integers(256, size=(9, 16, 16, 3), dtype=np.uint8)
    for name in ("b", "a"):
        video.write_mp4(frames, tmp_path / f"{name}.mp4")
        (tmp_path / f"{name}.txt").write_text(f"a video {name}\n")
    videos, captions = finetune.read_folder(tmp_path)
    assert captions == ["a video a", "a video b"] and {v.shape for v in videos} == {(9, 16, 16, 3)}


def test_a_folder_without_clips_or_captions_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        finetune.read_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="has no videos"):
        finetune.read_folder(tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match="lacks a.txt"):
        finetune.read_folder(tmp_path)


@pytest.mark.parametrize("captions", ["a dog", [], None, 5, [1, 2], ("a dog" for _ in range(2))])
@pytest.mark.parametrize("call", [finetune.read, finetune.tokens])
def test_captions_that_are_not_a_list_of_texts_are_refused(toy_pipe, call, captions):
    with pytest.raises(ValueError, match="captions=.* is not allowed"):
        call(toy_pipe, captions)


@pytest.mark.parametrize(("latents", "text"), [(0, 0), (2, 1)])
def test_examples_come_in_pairs(latents, text):
    with pytest.raises(ValueError, match=f"there are {latents} latents and {text} texts"):
        Examples(torch.zeros(latents, 8, 1, 4, 4), torch.zeros(text, 24, 32))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"steps": 0}, "steps=0 is not allowed"),
        ({"batch": 1.5}, "batch=1.5 is not allowed"),
        ({"steps": True}, "steps=True is not allowed"),
        ({"lr": True}, "lr=True is not allowed"),
        ({"frames": 0}, "frames=0 is not allowed"),
        ({"lr": 0}, "lr=0 is not allowed"),
        ({"lr": float("nan")}, "lr=nan is not allowed"),
        ({"lr": "x"}, "lr='x' is not allowed"),
        ({"lr": float("inf")}, "lr=inf is not allowed"),
        ({"old": "x"}, "old='x' is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"old": 1}, "old=1 is not allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        Settings(**values)


def test_nothing_to_learn_and_short_clips_are_refused_before_the_first_step(toy_pipe):
    with pytest.raises(ValueError, match="parameters is empty"):
        finetune.train(toy_pipe, [], examples())
    with pytest.raises(ValueError, match="parameters is of type generator"):
        finetune.train(toy_pipe, toy_pipe.unet.parameters(), examples())
    with pytest.raises(ValueError, match="frames=3 is not allowed: use a whole number from 1 to 2"):
        finetune.train(toy_pipe, list(toy_pipe.unet.parameters()), examples(), None, Settings(frames=3))


@pytest.mark.parametrize(
    ("latents", "text", "match"),
    [
        (None, None, r"latents is of type NoneType: use a tensor \[n c f h w\]"),
        (torch.zeros(1, 8, 4, 4), None, r"latents has shape \[1, 8, 4, 4\]"),
        (torch.zeros(1, 8, 1, 4, 4), ["a dog"], r"text is of type list: use a tensor \[n t d\]"),
        (torch.zeros(1, 8, 1, 4, 4), torch.ones(1, 9, 1).long(), r"text has shape \[1, 9, 1\]: use a tensor \[n t\]"),
    ],
)
def test_examples_are_tensors(latents, text, match):
    with pytest.raises(ValueError, match=match):
        Examples(latents, text)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"new": None}, "new is of type NoneType"),
        ({"old": []}, "old is of type list"),
        ({"settings": {}}, "settings is of type dict"),
    ],
)
def test_other_kinds_are_refused_before_the_first_step(toy_pipe, given, match):
    with pytest.raises(ValueError, match=match):
        finetune.train(toy_pipe, list(toy_pipe.unet.parameters()), **{"new": examples()} | given)


@pytest.mark.parametrize("call", [lambda: finetune.encode(None, []), lambda: finetune.read(None, ["a dog"]),
                                  lambda: finetune.train(None, [], examples())])  # fmt: skip
def test_without_a_pipeline_nothing_is_learned(call):
    with pytest.raises(ValueError, match="pipe is .*NoneType"):
        call()


def test_old_clips_of_another_size_are_refused(toy_pipe):
    new = examples()
    old = Examples(new.latents[..., :2], new.text)
    with pytest.raises(ValueError, match=r"the latents have shapes \[3, 8, 2, 4, 2\]"):
        finetune.train(toy_pipe, list(toy_pipe.unet.parameters()), new, old)
