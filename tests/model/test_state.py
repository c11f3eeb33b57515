"""State outside the spec: what shapes a video is in its record and in a sweep's fingerprint, or is refused."""

import copy
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    TextToVideoSDPipeline,
)
from diffusers.models.attention_processor import AttnProcessor2_0, PAGIdentitySelfAttnProcessor2_0
from tokenizers import normalizers, pre_tokenizers

from t2v_helpers.core import seeding
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion.scheduler_list import SCHEDULERS
from t2v_helpers.inside import temporal
from t2v_helpers.inside.feature_reuse import Shortcuts
from t2v_helpers.model import loading, lora, memory_plan, swapping, sweep
from t2v_helpers.model.denoising import denoise
from t2v_helpers.model.generate import generate
from t2v_helpers.model.pipeline import fingerprint

SPEC = GenerationSpec("a robot is dancing", steps=2, frames=2, height=32, width=32)


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def taught(pipe):
    for p in lora.add(pipe, rank=2):
        p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) / 4
    return pipe


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("scheduler", [name for name in SCHEDULERS if name != "lcm"])
def test_the_default_dtype_changes_nothing(toy_pipe, scheduler, request):
    spec = replace(SPEC, scheduler=scheduler, steps=4)
    before = generate(toy_pipe, spec).record.frames_sha256
    request.getfixturevalue("double")
    assert generate(toy_pipe, spec).record.frames_sha256 == before


def test_noise_is_drawn_in_float32_on_the_cpu_whatever_the_defaults(double):
    with torch.device("meta"):
        drawn = seeding.noise([3], (4, 5))
    assert drawn.dtype == torch.float32 and drawn.device.type == "cpu"
    assert torch.equal(drawn[0], torch.randn(4, 5, generator=seeding.generator(3), dtype=torch.float32))


@pytest.mark.parametrize("state, said", [
    (lambda: torch.device("meta"), "default device is meta"),
    (lambda: torch.autocast("cpu"), "autocast is on"),
])  # fmt: skip
def test_torch_settings_that_would_change_the_video_are_refused(toy_pipe, state, said):
    with state(), pytest.raises(ValueError, match=said):
        generate(toy_pipe, SPEC)
    generate(toy_pipe, SPEC)


@pytest.mark.parametrize("change", [{"beta_end": 0.02}, {"beta_schedule": "linear"}, {"prediction_type": "sample"}])
def test_a_scheduler_of_another_training_is_refused(pipe, change):
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **change)
    with pytest.raises(ValueError, match=f"pipe.scheduler has {next(iter(change))}="):
        generate(pipe, SPEC)


def test_a_scheduler_made_from_nothing_is_refused_and_one_from_the_pipelines_own_is_not(pipe):
    before = generate(pipe, SPEC).record
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    after = generate(pipe, SPEC).record
    assert (after.frames_sha256, after.weights) == (before.frames_sha256, before.weights)
    pipe.scheduler = EulerDiscreteScheduler()
    with pytest.raises(ValueError, match=r"pipe.scheduler has beta_"):
        generate(pipe, SPEC)


def test_a_lora_and_its_scale_are_in_the_record(taught):
    seen = {}
    for scale in (0.0, 0.5, 1.0):
        with lora.scaled(taught, scale):
            record = generate(taught, SPEC).record
        seen[scale] = record.model, record.weights, record.frames_sha256
        assert record.model == f"toy with a LoRA times {scale:g}"
    assert len({one[1] for one in seen.values()}) == len({one[2] for one in seen.values()}) == 3
    assert generate(taught, SPEC).record.weights == seen[1.0][1]
    lora.remove(taught)
    assert generate(taught, SPEC).record.model == "toy"


def test_a_sweep_with_another_scale_is_another_sweep(taught, tmp_path):
    sweep.run_sweep(taught, [SPEC], tmp_path, quiet=True)
    with lora.scaled(taught, 0.5), pytest.raises(ValueError, match="another sweep .*LoRA"):
        sweep.run_sweep(taught, [SPEC], tmp_path, quiet=True)
    sweep.run_sweep(taught, [SPEC], tmp_path, quiet=True)


def test_whatever_is_changed_in_memory_changes_the_fingerprint(pipe, toy_pipe):
    before, seen = fingerprint(pipe), set()
    assert before == fingerprint(toy_pipe)
    with temporal.temporal_layers_off(pipe.unet):
        seen.add(fingerprint(pipe))
    with pipe.using(predictor=Shortcuts(reuse=3)):
        seen.add(fingerprint(pipe))
    with pipe.using(predictor=Shortcuts(reuse=2)):
        seen.add(fingerprint(pipe))
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    with swapping.swapped_part(pipe, vae=AutoencoderTiny(**blocks, latent_channels=8)):
        seen.add(fingerprint(pipe))
    assert len(seen - {before}) == 4 and fingerprint(pipe) == before


def test_a_unet_in_training_is_refused(pipe):
    pipe.unet.train()
    with pytest.raises(ValueError, match="pipe.unet drops numbers by chance"):
        generate(pipe, SPEC)
    pipe.unet.eval()
    generate(pipe, SPEC)


@contextmanager
def less_exact():
    held = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = [one.fp32_precision for one in held]
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")
    for one, precision in zip(held, before, strict=True):
        one.fp32_precision = precision


@contextmanager
def another_norm(pipe):
    pipe.unet.register_to_config(norm_eps=0.1)
    yield
    pipe.unet.register_to_config(norm_eps=1e-5)


@contextmanager
def hooked(pipe):
    hook = pipe.unet.register_forward_hook(lambda module, given, out: out)
    yield
    hook.remove()


@contextmanager
def tiled(pipe):
    pipe.vae.use_tiling = True
    yield
    pipe.vae.use_tiling = False


@contextmanager
def other_words(pipe):
    room, pipe.tokenizer.model_max_length = pipe.tokenizer.model_max_length, 5
    yield
    pipe.tokenizer.model_max_length = room


@contextmanager
def far_from_the_first_values(pipe):
    weight = max(pipe.unet.parameters(), key=torch.numel).data.view(-1)
    before, weight[-weight.numel() // 2 :] = weight.clone(), 0
    yield
    weight.copy_(before)


@contextmanager
def changed_on_the_way_in(pipe):
    hook = pipe.unet.register_forward_pre_hook(lambda module, given: (given[0] * 2, *given[1:]))
    yield
    hook.remove()


@contextmanager
def hooked_everywhere(pipe):
    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
    yield
    hook.remove()


@contextmanager
def freed(pipe):
    """FreeU (Si et al. 2023, arXiv 2309.11497), as diffusers offers it."""
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    yield
    pipe.disable_freeu()


@contextmanager
def attending_otherwise(pipe):
    layer = next(layer for layer in pipe.unet.modules() if hasattr(layer, "processor"))
    before, layer.processor = layer.processor, partial(layer.processor, attention_mask=None)
    yield
    layer.processor = before


@contextmanager
def patched(held, name, does):
    method = getattr(held, name)
    setattr(held, name, lambda *given, **more: does(method(*given, **more)))
    yield
    setattr(held, name, method)


def decoding_otherwise(pipe):
    return patched(pipe.vae, "decode", lambda out: out)


def decoding_otherwise_in_the_pipeline(pipe):
    return patched(pipe, "decode_latents", lambda videos: -videos)


def tokenizing_otherwise(pipe):
    return patched(pipe.tokenizer, "_encode_plus", lambda out: out)


@contextmanager
def decoding_by_another(pipe):
    pipe.vae.decode = copy.deepcopy(pipe.vae).decode
    yield
    del pipe.vae.decode


@contextmanager
def with_rule(pipe, name, value):
    backend = pipe.tokenizer.backend_tokenizer
    before = getattr(backend, name)
    setattr(backend, name, value)
    yield
    setattr(backend, name, before)


def normalizing_otherwise(pipe):
    return with_rule(pipe, "normalizer", normalizers.NFC())


def cutting_words_otherwise(pipe):
    return with_rule(pipe, "pre_tokenizer", pre_tokenizers.Whitespace())


@contextmanager
def padding_on_the_left(pipe):
    pipe.tokenizer.padding_side = "left"
    yield
    pipe.tokenizer.padding_side = "right"


@contextmanager
def cutting_on_the_left(pipe):
    pipe.tokenizer.truncation_side = "left"
    yield
    pipe.tokenizer.truncation_side = "right"


UNSHOWN = [
    another_norm, hooked, changed_on_the_way_in, hooked_everywhere, freed, attending_otherwise, tiled, other_words,
    far_from_the_first_values, decoding_otherwise, decoding_otherwise_in_the_pipeline, tokenizing_otherwise,
    decoding_by_another, normalizing_otherwise, cutting_words_otherwise, padding_on_the_left, cutting_on_the_left,
]  # fmt: skip


@pytest.mark.parametrize("change", UNSHOWN)
def test_what_no_shape_shows_changes_the_fingerprint(pipe, change):
    before = fingerprint(pipe)
    with change(pipe):
        assert fingerprint(pipe) != before
    assert fingerprint(pipe) == before


def times(factor):
    return lambda unet, text, guidance: lambda x_t, t: factor * x_t


class Times:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, unet, text, guidance):
        return lambda x_t, t: self.factor * x_t


MADE = [times, Times, lambda factor: partial(times, factor), lambda factor: times(torch.ones(3) * factor)]


@pytest.mark.parametrize("make", MADE)
def test_two_predictors_of_one_name_differ_by_what_they_hold(pipe, make):
    seen = set()
    for factor in (1, 2, 2):
        with pipe.using(predictor=make(factor)):
            seen.add(fingerprint(pipe))
    assert len(seen) == 2


def test_the_layers_that_an_adapter_reads_are_told(pipe):
    seen = set()
    for layers in ((1,), (2,)):
        with swapping.swapped_part(pipe, text_encoder=swapping.Adapted(pipe.text_encoder, torch.nn.Identity(), layers)):
            seen.add(fingerprint(pipe))
    assert len(seen) == 2


def test_a_lora_that_is_switched_off_is_told(taught):
    before = generate(taught, SPEC).record
    for layer in lora.added(taught.unet).values():
        layer.enable_adapters(False)
    after = generate(taught, SPEC).record
    assert before.frames_sha256 != after.frames_sha256 and before.weights != after.weights


def test_noise_that_is_not_the_seeds_is_told_or_refused(pipe):
    noise = seeding.noise([5], (8, 2, 4, 4))
    made = [generate(pipe, SPEC, latents=given).record.weights for given in (None, noise, 2 * noise, noise)]
    assert len(set(made)) == 3 and made[1] == made[3]
    for wrong in (noise.double(), noise[:, :, :1], noise * float("nan")):
        for ask in (generate, denoise):
            with pytest.raises(ValueError, match="latents is .*: use finite torch.float32 on cpu, of shape"):
                ask(pipe, SPEC, latents=wrong)
    with pytest.raises(ValueError, match="text is .*: use finite"):
        denoise(pipe, SPEC, text=torch.ones(2, 5, 7))


def test_precision_by_its_new_name_is_told_too(pipe):
    before = fingerprint(pipe)
    torch.backends.fp32_precision = "tf32"
    try:
        assert fingerprint(pipe) != before
    finally:
        torch.backends.fp32_precision = "none"
    assert fingerprint(pipe) == before


def test_so_does_how_exactly_torch_multiplies(toy_pipe):
    before = fingerprint(toy_pipe)
    with less_exact():
        assert fingerprint(toy_pipe) != before


def test_offloading_is_not_a_change(pipe):
    before = fingerprint(pipe)
    memory_plan.run_in_pieces(pipe.unet)
    pipe.enable_model_cpu_offload(device="cpu")
    assert fingerprint(pipe) == before


def test_a_layer_that_was_patched_before_offloading_stays_told(pipe):
    pipe.vae.forward = lambda *given: None
    before = fingerprint(pipe)
    pipe.enable_model_cpu_offload(device="cpu")
    assert fingerprint(pipe) == before


def test_a_call_of_the_tokenizer_is_not_a_change(pipe):
    before = fingerprint(pipe)
    pipe.tokenizer(["a dog", "a cat is dancing"], padding=True, truncation=True, max_length=3, verbose=False)
    assert fingerprint(pipe) == before


THREADS = """
import sys
import numpy as np
import torch
torch.set_num_threads(int(sys.argv[1]))
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate
pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
np.save(sys.argv[2], generate(pipe, GenerationSpec("a robot is dancing", steps=4, frames=2)).frames)
"""


def test_another_number_of_threads_changes_a_value_by_one_grey_level_at_most(tmp_path):
    made = []
    for threads in ("1", "2"):
        subprocess.run([sys.executable, "-c", THREADS, threads, str(tmp_path / f"{threads}.npy")], check=True)
        made.append(np.load(tmp_path / f"{threads}.npy").astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1


def test_asking_for_hidden_states_changes_nothing(toy_pipe):
    """transformers leaves hooks on the layers for good, which only keep what comes out."""
    before = fingerprint(toy_pipe)
    ids = toy_pipe.tokenizer(["a dog"], return_tensors="pt").input_ids
    assert len(toy_pipe.text_encoder(ids, output_hidden_states=True).hidden_states) > 1
    assert fingerprint(toy_pipe) == before


def mine(*given, **named):
    """Stands in place of a method, and of a function of torch."""


PLACES = [
    (torch.nn.functional, "scaled_dot_product_attention"),
    (torch.nn.Linear, "forward"),
    (AttnProcessor2_0, "__call__"),
    (DPMSolverMultistepScheduler, "step"),
    (TextToVideoSDPipeline, "decode_latents"),
]


@pytest.mark.parametrize("place, name", PLACES)
def test_what_stands_in_place_of_a_method_of_a_class_is_told(pipe, monkeypatch, place, name):
    before = fingerprint(pipe)
    with monkeypatch.context() as context:
        context.setattr(place, name, mine)
        assert fingerprint(pipe) != before
    assert fingerprint(pipe) == before


def test_an_attention_of_diffusers_that_computes_another_is_told(pipe):
    before = fingerprint(pipe)
    pipe.unet.set_attn_processor(PAGIdentitySelfAttnProcessor2_0())
    assert fingerprint(pipe) != before


def test_parts_that_do_not_go_together_are_refused_before_computing(no_computing):
    pipe = copy.copy(no_computing)
    linear = copy.deepcopy(pipe.unet)
    linear.time_embedding.linear_1.weight = torch.nn.Parameter(torch.ones(64, 64).to_sparse())
    others = [
        ("unet", copy.deepcopy(pipe.unet).double(), "float64"),
        ("vae", copy.deepcopy(pipe.vae).half(), "pipe.vae is in float16"),
        ("unet", copy.deepcopy(pipe.unet).to("meta"), "without values"),
        ("unet", linear, "time_embedding.linear_1.weight"),
        ("unet", torch.nn.DataParallel(pipe.unet), "DataParallel"),
        ("vae", None, "NoneType"),
    ]
    for name, part, said in others:
        with pytest.raises(ValueError, match=said), pipe.using(**{name: part}):
            generate(pipe, SPEC)
