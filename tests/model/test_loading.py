"""models: each way to a pipeline, in the cartoon's layout and in the hub's, and in so much memory."""

import json
import logging
import os
import shutil
import warnings
from dataclasses import replace

import diffusers
import pytest
import torch
import transformers
from diffusers import DiffusionPipeline, TextToVideoSDPipeline
from safetensors.torch import load_file, save_file

from t2v_helpers import cartoon
from t2v_helpers.core import video
from t2v_helpers.core.model_names import Model
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import activation_memory
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import pick_dtype
from t2v_helpers.machine.probe import TorchFacts
from t2v_helpers.model import hub, loading, memory_plan, validation
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.generate import generate
from t2v_helpers.model.memory_plan import MemoryOptions
from t2v_helpers.model.pipeline import course_pipeline

TINY = GenerationSpec("a robot is dancing", steps=1, frames=1, height=64, width=64)


@pytest.fixture
def copy(toy_folder, tmp_path):
    """A toy folder of one's own, to be damaged."""
    return shutil.copytree(toy_folder, tmp_path / "copy")


@pytest.fixture
def bare(copy):
    """The same without a manifest, as `save_pretrained` leaves it."""
    (copy / manifests.MANIFEST).unlink()
    return copy


# --- what a loaded pipeline is


def test_the_toy_is_an_ordinary_pipeline(toy_pipe):
    assert isinstance(toy_pipe, TextToVideoSDPipeline)
    for part in (toy_pipe.unet, toy_pipe.vae, toy_pipe.text_encoder):
        assert not part.training and part.dtype == torch.float32 and part.device == torch.device("cpu")
    assert toy_pipe.model_name == toy_pipe.name == "toy"
    assert toy_pipe.progress_bar(range(1)).disable


def test_weights_stored_in_half_are_loaded_in_single(toy_folder, toy_pipe):
    stored = load_file(toy_folder / "unet" / "diffusion_pytorch_model.safetensors")
    loaded = toy_pipe.unet.state_dict()
    assert set(stored) == set(loaded)
    for name, weight in stored.items():
        assert weight.dtype == torch.float16 and torch.equal(weight.float(), loaded[name])


def test_any_script_opens_the_folder_without_our_code(toy_folder, toy_pipe):
    theirs = DiffusionPipeline.from_pretrained(toy_folder, dtype=torch.float32)
    ours = toy_pipe.unet.state_dict()
    assert all(torch.equal(weight, ours[name]) for name, weight in theirs.unet.state_dict().items())
    assert course_pipeline(theirs).name == "toy"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", torch.float16])
def test_every_part_gets_the_dtype(hub_folder, dtype):
    pipe = loading.load(hub_folder, device="cpu", dtype=dtype)
    wanted = pick_dtype(dtype)
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {wanted}


def test_without_a_dtype_todays_stack_fails_on_the_hubs_layout(hub_folder):
    """Why `load` always passes one on. When this test fails, the stack was mended, and the notebooks should say so."""
    pipe = DiffusionPipeline.from_pretrained(hub_folder, use_safetensors=True)
    with pytest.raises(RuntimeError, match="same"):
        pipe(TINY.prompt, num_frames=1, height=64, width=64, num_inference_steps=1)


def test_half_precision_takes_the_half_size_files(hub_folder, tmp_path):
    folder = shutil.copytree(hub_folder, tmp_path / "half")
    for path in folder.glob("*/*.safetensors"):
        if ".fp16" not in path.name:
            path.write_bytes(b"not to be opened")
    assert loading.load(folder, device="cpu", dtype="float16").unet.dtype == torch.float16


def test_a_folder_with_half_size_files_alone_runs_in_single(hub_folder, tmp_path):
    folder = shutil.copytree(hub_folder, tmp_path / "half")
    for path in folder.glob("*/*.safetensors"):
        if ".fp16" not in path.name:
            path.unlink()
    pipe = loading.load(folder, device="cpu", dtype="float32")
    assert pipe.unet.dtype == torch.float32
    assert generate(pipe, TINY).frames.shape == (1, 64, 64, 3)


def test_old_names_are_read_into_the_right_places(hub_folder, hub_pipe):
    text = load_file(hub_folder / "text_encoder" / "model.safetensors")
    for name, weight in hub_pipe.text_encoder.state_dict().items():
        assert torch.equal(text["text_model." + name.removeprefix("text_model.")], weight)
    vae = load_file(hub_folder / "vae" / "diffusion_pytorch_model.safetensors")
    attention = hub_pipe.vae.decoder.mid_block.attentions[0]
    assert torch.equal(vae["decoder.mid_block.attentions.0.query.weight"], attention.to_q.weight)


def test_the_pad_token_of_the_hub_is_the_exclamation_mark(hub_pipe):
    assert hub_pipe.tokenizer.pad_token == "!" and hub_pipe.tokenizer.pad_token_id == 0


def test_slicing_is_for_the_big_model(toy_pipe, hub_pipe):
    assert hub_pipe.vae.use_slicing and not toy_pipe.vae.use_slicing


def test_defaults(toy_pipe, hub_pipe):
    assert loading.defaults(toy_pipe) == loading.Defaults(guidance=4.0, height=64, width=64, frames=16, fps=video.FPS)
    assert loading.defaults(hub_pipe) == loading.Defaults(guidance=9.0, height=256, width=256, frames=16, fps=video.FPS)


def test_sizes_follow_the_configs(toy_pipe, hub_pipe):
    assert (loading.latent_channels(toy_pipe), loading.latent_channels(hub_pipe)) == (8, 4)
    assert (loading.size_multiple(toy_pipe), loading.size_multiple(hub_pipe)) == (16, 64)
    assert loading.LATENT_SCALE == toy_pipe.vae_scale_factor == hub_pipe.vae_scale_factor
    assert (validation.token_room(toy_pipe), validation.token_room(hub_pipe)) == (22, 75)


def test_the_size_multiple_is_the_least_that_the_unet_takes_without_padding(toy_pipe):
    """One latent pixel less, and the UNet has to be told the sizes on its way up."""
    down = loading.size_multiple(toy_pipe) // loading.LATENT_SCALE
    assert down == 2 ** sum(block.downsamplers is not None for block in toy_pipe.unet.down_blocks)


# --- what is said, and what is not


def test_loading_is_silent(toy_folder, capfd, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        loading.load(toy_folder, device="cpu", dtype="float32")
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_the_warning_is_kept_quiet_for_this_class_and_inside_alone(toy_pipe):
    logger, heard = logging.getLogger("diffusers.pipelines.pipeline_utils"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger.addHandler(handler)
    with loading.quiet_libraries():
        TextToVideoSDPipeline(**toy_pipe.components)
        logger.warning("something else")
    assert heard == ["something else"]
    TextToVideoSDPipeline(**toy_pipe.components)
    logger.removeHandler(handler)
    assert "has been deprecated" in heard[1]


def test_progress_bars_are_as_before_even_after_an_error():
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    for library in libraries:
        library.enable_progress_bar()
    with pytest.raises(KeyError, match="inside"), loading.quiet_libraries():
        assert not any(library.is_progress_bar_enabled() for library in libraries)
        raise KeyError("inside")
    assert all(library.is_progress_bar_enabled() for library in libraries)
    diffusers.utils.logging.disable_progress_bar()
    with loading.quiet_libraries():
        pass
    assert not diffusers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.enable_progress_bar()


# --- the shipped model


def test_the_shipped_folder_is_whole_and_in_its_layout():
    pipe = loading.load("cartoon", device="cpu", offline=True)
    assert pipe.model_name == "cartoon" and loading.is_cartoon(pipe) and loading.latent_channels(pipe) == 16
    assert (loading.size_multiple(pipe), validation.token_room(pipe)) == (16, 22)
    assert pipe.unet.dtype == torch.float32
    assert sum(path.stat().st_size for path in loading.CARTOON.rglob("*")) <= 20 * 2**20


def test_the_shipped_tokenizer_knows_every_word_of_the_world_as_one_token():
    tokenizer = loading.load("cartoon", device="cpu").tokenizer
    for word in cartoon.vocabulary():
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word


def test_a_changed_byte_in_the_shipped_model_is_found(copy, monkeypatch):
    monkeypatch.setitem(loading.MODELS, "cartoon", Model(copy))
    assert loading.load("cartoon", device="cpu").model_name == "cartoon"
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="diffusion_pytorch_model.safetensors has SHA-256 .* is expected: copy"):
        loading.load("cartoon", device="cpu")


# --- folders that are no pipeline


def test_an_empty_folder_is_no_pipeline(tmp_path):
    with pytest.raises(ValueError, match="model_index.json does not exist"):
        loading.load(tmp_path)


def test_an_index_that_is_a_pipe_is_named_as_one(tmp_path):
    os.mkfifo(tmp_path / "model_index.json")
    with pytest.raises(ValueError, match="model_index.json is a device or a pipe, and not a file"):
        loading.load(tmp_path)


def test_an_index_that_is_not_json(bare):
    (bare / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="model_index.json cannot be read .*: copy or download"):
        loading.load(bare)


@pytest.mark.parametrize("index", ['{"_class_name": "StableDiffusionPipeline"}', "{}", "[]"])
def test_another_pipeline(bare, index):
    (bare / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match="holds .* but (a TextToVideoSDPipeline|keys with values) (is|are) needed"):
        loading.load(bare)


def test_a_part_that_is_a_link_out_of_the_folder_is_refused(bare, tmp_path):
    (bare / "unet").rename(tmp_path / "mine")
    (bare / "unet").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="unet is a link out of its folder, to .*mine"):
        loading.load(bare, device="cpu")


@pytest.mark.parametrize(
    "betas",
    [
        {"beta_start": 1e-300, "beta_end": 1e-300},
        {"beta_start": 0.999, "beta_end": 0.999},
        {"num_train_timesteps": 100_000},
        {"rescale_betas_zero_snr": True},
    ],
)
def test_a_noise_schedule_that_leaves_nothing_to_divide_by_is_refused(bare, betas):
    path = bare / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | betas))
    with pytest.raises(ValueError, match="scheduler_config.json: its betas lead alpha-bar from .* to "):
        loading.load(bare, device="cpu")


def test_torchs_default_device_changes_nothing(toy_folder):
    with torch.device("meta"):
        pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    found = [pipe.scheduler.alphas_cumprod, *pipe.text_encoder.buffers(), *pipe.unet.parameters()]
    assert {x.device.type for x in found} == {"cpu"}


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_is_missing(bare, part):
    shutil.rmtree(bare / part)
    with pytest.raises(ValueError, match=f"lacks {part}"):
        loading.load(bare)


@pytest.mark.parametrize("keep", [0, 7, 200, 5000, -1])
@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_weights_cut_short(bare, part, keep):
    path = bare / f"{part}.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{path.name} is cut short or damaged .*: copy or download"):
        loading.load(bare)


def test_pickles_are_not_opened(hub_folder, tmp_path):
    folder = shutil.copytree(hub_folder, tmp_path / "pickles")
    for path in folder.glob("*/*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match="no complete set of safetensors weights, and pickles are not opened"):
        loading.load(folder)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model", "vae/diffusion_pytorch_model"])
def test_a_missing_tensor_is_not_filled_with_random_weights(bare, part):
    path = bare / f"{part}.safetensors"
    weights = load_file(path)
    weights.pop(sorted(weights)[-1])
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="does not fit its config .* is missing in the weights"):
        loading.load(bare)


@pytest.mark.parametrize(
    "part, change",
    [
        ("unet", {"block_out_channels": [8, 24]}),
        ("unet", {"down_block_types": ["NoSuchBlock", "DownBlock3D"]}),
        ("text_encoder", {"hidden_size": 64}),
        ("scheduler", {"_class_name": "NoSuchScheduler", "beta_schedule": "none"}),
    ],
)
def test_a_config_that_does_not_fit_its_weights(bare, part, change):
    path = bare / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=f"{part}.*copy or download the folder again") as caught:
        loading.load(bare)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, text", [("vocab.json", "{"), ("vocab.json", "{}"), ("vocab.json", "[1]"), ("merges.txt", "zzz"),
                   ("merges.txt", "")]
)  # fmt: skip
def test_a_damaged_tokenizer(hub_folder, tmp_path, name, text):
    folder = shutil.copytree(hub_folder, tmp_path / "copy")
    (folder / "tokenizer" / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name} .*: copy or download the folder again\."):
        loading.load(folder, device="cpu")


def test_merges_cut_short_in_todays_file(bare):
    path = bare / "tokenizer" / "tokenizer.json"
    found = json.loads(path.read_text())
    found["model"]["merges"] = found["model"]["merges"][:20]
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="tokenizer.json is cut short.*: copy or download the folder"):
        loading.load(bare)


def test_a_gpu_too_small_for_the_weights(toy_folder, monkeypatch):
    """What had arrived there before the memory ran out goes back."""

    def run_out(pipe, device):
        pipe.text_encoder.where = device
        raise torch.OutOfMemoryError("HIP out of memory")

    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    monkeypatch.setattr(TextToVideoSDPipeline, "to", run_out)
    for part in loading.PARTS:
        module = getattr(pipe, part)
        monkeypatch.setattr(module, "to", lambda device, module=module: setattr(module, "where", device))
    with pytest.raises(MemoryError, match="cuda:0 has too little memory for the model: name what it has, memory="):
        loading._move(pipe, torch.device("cuda:0"))
    assert {getattr(pipe, part).where for part in loading.PARTS} == {"cpu"}


# --- skeletons


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.named_parameters()}


def test_a_skeleton_has_the_shapes_of_the_model_and_no_weights(toy_folder, toy_pipe):
    parts = loading.skeleton(toy_folder)
    assert tuple(parts) == loading.PARTS
    for name, part in parts.items():
        assert shapes(part) == shapes(getattr(toy_pipe, name)) and not part.training
        assert {tensor.device.type for tensor in part.parameters()} == {"meta"}


def test_the_skeletons_that_have_names(monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", None)  # nothing is downloaded
    assert loading.skeleton("cartoon")["unet"].config.sample_size == 8
    unet = loading.skeleton("modelscope")["unet"]
    assert unet.config.block_out_channels == [320, 640, 1280, 1280] and not torch.get_default_device().type == "meta"


@pytest.mark.parametrize("name, error", [("sora", ValueError), ("no/such", FileNotFoundError)])
def test_a_skeleton_of_nothing(name, error):
    with pytest.raises(error, match="is unknown|is no folder"):
        loading.skeleton(name)


@pytest.mark.parametrize("damage", ["not json", '{"block_out_channels": "wide"}'])
def test_a_skeleton_of_a_damaged_config(bare, damage):
    (bare / "unet" / "config.json").write_text(damage)
    with pytest.raises(ValueError, match="unet.*copy or download the folder again"):
        loading.skeleton(bare)


def test_unknown_words_can_be_refused():
    validation.refuse_unknown_words("a dog is dancing on the moon")
    with pytest.raises(ValueError, match="the cartoon model does not know 'unicorn', 'tractor': it knows a, an, "):
        validation.refuse_unknown_words("a unicorn on a tractor")
    with pytest.raises(ValueError, match="does not know 'tractor': it knows .*, unicorn"):
        validation.refuse_unknown_words("a unicorn on a tractor", ["unicorn"])


# --- in so much memory


@pytest.fixture
def a_gpu(monkeypatch):
    """Another machine, as far as it is read: an MI300X that torch sees."""
    found = TorchFacts("ROCm 7.2", count=1, name="AMD Instinct MI300X", gfx="gfx942", architectures=("gfx942",))
    monkeypatch.setattr(probe, "look_at_torch", lambda: found)


@pytest.fixture(scope="module")
def traced():
    """What ModelScope needs, from its published shapes: no weights, no download, no GPU. Traced once, for seconds."""
    return loading.needs("modelscope", 16, 256, 256)


def test_loading_into_so_much_memory_says_what_was_chosen(toy_folder, capfd):
    pipe = loading.load(toy_folder, device="cpu", memory="2GiB")
    assert pipe.plan.options == MemoryOptions("float32")
    assert pipe.unet.dtype == torch.float32 and not pipe.vae.use_slicing
    assert str(pipe.plan).startswith("16 frames of 64x64 in 2.0 GiB of memory:")
    assert capfd.readouterr() == ("", f"{pipe.plan}\n")
    loading.load(toy_folder, device="cpu", memory="2GiB", quiet=True)
    assert loading.load(toy_folder, device="cpu").plan is None and capfd.readouterr() == ("", "")


def test_what_is_needed_is_traced_and_what_was_chosen_is_done(toy_folder):
    needs = loading.needs(toy_folder, 16, 64, 64)
    sliced = memory_plan.needed(needs, MemoryOptions("float32", vae_slicing=True))
    plain = memory_plan.needed(needs, MemoryOptions("float32"))
    assert sliced < plain and needs.unet_in_pieces < needs.peaks["unet"] and needs.vae_sliced < needs.peaks["vae"]
    pipe = loading.load(toy_folder, device="cpu", dtype="float32", memory=plain - 1)
    assert pipe.plan.considered[MemoryOptions("float32")] == plain
    assert pipe.vae.use_slicing and pipe.plan.needed == sliced
    assert generate(pipe, TINY).frames.shape == (1, 64, 64, 3)


def test_every_way_of_the_cpu_gives_the_same_video(toy_folder):
    plan = loading.plan(toy_folder, "2GiB", "cpu")
    loud = {}
    for way in memory_plan.all_options(("float32",), gpu=False):
        pipe = loading.load(toy_folder, device="cpu", memory=replace(plan, considered={way: plan.needed}))
        assert pipe.vae.use_slicing == way.vae_slicing
        loud[way] = generate(pipe, replace(TINY, frames=2)).frames.astype(int)
    first, *others = loud.values()
    assert len(others) == 2 and all(abs(first - other).max() <= 1 for other in others)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_a_plan_and_another_dtype_are_refused(toy_folder, dtype):
    plan = loading.plan(toy_folder, "2GiB", "cpu")
    assert loading.load(toy_folder, "cpu", "float32", memory=plan).unet.dtype == torch.float32  # the plan's own
    with pytest.raises(ValueError, match=f"dtype='?{dtype}'? is not the plan's float32: leave it out, or make a plan"):
        loading.load(toy_folder, "cpu", dtype, memory=plan)


def test_offload_is_left_to_the_pipeline_on_a_gpu(toy_folder, a_gpu, monkeypatch):
    asked = []
    monkeypatch.setattr(TextToVideoSDPipeline, "enable_model_cpu_offload", lambda pipe, device: asked.append(device))
    plan = loading.plan(toy_folder, "2GiB")
    assert plan.options == MemoryOptions("float16")
    way = MemoryOptions("float16", vae_slicing=True, offload=True)
    pipe = loading.load(toy_folder, memory=replace(plan, considered={way: plan.needed}))
    assert asked == [torch.device("cuda")] and pipe.unet.device == torch.device("cpu") and pipe.vae.use_slicing


def test_offloaded_and_in_pieces_the_video_is_the_same(toy_folder, toy_pipe):
    """accelerate's real hooks, which bring each part to its device when its turn comes; here that is the CPU, too."""
    way = MemoryOptions("float32", vae_slicing=True, offload=True, in_pieces=True)
    pipe = loading._place(loading.load(toy_folder, device="cpu", dtype="float32"), way, torch.device("cpu"))
    assert all(hasattr(getattr(pipe, part), "_hf_hook") for part in loading.PARTS)
    for _ in range(2):  # the parts go home after a video, and come back for the next
        found = generate(pipe, TINY).frames.astype(int)
        assert abs(found - generate(toy_pipe, TINY).frames).max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
@pytest.mark.parametrize("offload", [False, True])
def test_no_more_is_used_on_a_gpu_than_was_planned(offload):
    """torch's own peak. The cartoon is small, and most of what is planned for it is the reserve."""
    plan = loading.plan("cartoon", "2GiB", "cuda")
    way = replace(plan.options, vae_slicing=True, offload=offload, in_pieces=True)
    needed = memory_plan.needed(loading.needs("cartoon", 16, 64, 64), way)
    pipe = loading.load("cartoon", "cuda", memory=replace(plan, considered={way: needed}))
    made = generate(pipe, replace(TINY, frames=16))
    assert made.record.peak_memory_mib * 2**20 <= needed and made.frames.std() > 1


@pytest.mark.parametrize(
    "size, way",
    [("8GiB", MemoryOptions("float16")), ("5GiB", MemoryOptions("float16", vae_slicing=True)),
     ("4.2GiB", MemoryOptions("float16", vae_slicing=True, offload=True))],
)  # fmt: skip
def test_modelscope_in_the_memory_of_some_gpus(a_gpu, traced, monkeypatch, size, way):
    monkeypatch.setattr(loading, "needs", lambda *_: traced)
    assert loading.plan("modelscope", size).options == way


def test_the_traced_needs_of_modelscope(traced):
    """The peaks in GiB of float32, by another trace of the same allocations: 1.30 the UNet, 3.00 and 0.20 the VAE."""
    gib = [traced.peaks["unet"], traced.peaks["vae"], traced.vae_sliced, sum(traced.weights.values())]
    assert [round(size / 2**30, 2) for size in gib] == [1.3, 3.0, 0.2, 6.84]


def test_the_hubs_name_of_the_real_model_leads_to_ours():
    with pytest.raises(ValueError, match="has a name of its own here: use 'modelscope'"):
        loading.load(loading.MODELSCOPE)


def test_the_variable_says_the_memory_where_the_argument_does_not(toy_folder, monkeypatch):
    monkeypatch.setenv("T2V_MEMORY", "3GiB")
    assert loading.load(toy_folder, device="cpu").plan.memory == 3 << 30
    assert loading.load(toy_folder, device="cpu", memory="2GiB").plan.memory == 2 << 30
    with pytest.raises(ValueError, match="memory=0 is not a size"):
        loading.load(toy_folder, device="cpu", memory=0)
    monkeypatch.setenv("T2V_MEMORY", "")
    assert loading.load(toy_folder, device="cpu").plan is None


def test_without_a_gpu_modelscope_says_that_it_will_be_slow(monkeypatch, capfd):
    """Before anything is looked at: here there is no memory for it."""
    monkeypatch.setattr(probe, "look_at_torch", lambda: TorchFacts("CPU only"))
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**20, 2**20))
    line = "No GPU is seen, so modelscope runs on the processor, which is slow; `t2v info` says why.\n"
    for words, said in (({}, line), ({"quiet": True}, ""), ({"device": "cpu"}, "")):
        with pytest.raises(MemoryError, match="GiB of memory on cpu"):
            loading.load("modelscope", **words)
        assert capfd.readouterr() == ("", said)


def test_what_is_told_of_decoding_frame_by_frame_is_what_is_traced(toy_folder):
    """At the size where the frames that wait are most, and at one where joining them is."""
    for frames, pixels in ((2, 128), (5, 64), (40, 64)):
        vae, needs = loading.skeleton(toy_folder)["vae"], loading.needs(toy_folder, frames, pixels, pixels)
        vae.enable_slicing()
        latents = torch.zeros(frames, 8, pixels // 8, pixels // 8, device="meta")  # [f c h w]
        assert activation_memory.peak(vae, latents, call=vae.decode) == pytest.approx(needs.vae_sliced, rel=0.01)


def test_the_cartoon_is_not_told_to_use_the_cartoon(a_gpu, traced, monkeypatch):
    with pytest.raises(MemoryError, match="too little for 16 frames of 64x64: .* not even one frame fits\\.$"):
        loading.plan("cartoon", "100MiB", "cpu")
    monkeypatch.setattr(loading, "needs", lambda *_: traced)
    with pytest.raises(MemoryError, match="not even one frame fits, or use the model 'cartoon'\\.$"):
        loading.plan("modelscope", "1GiB", dtype="float32")


def test_modelscope_in_too_little(a_gpu, traced, monkeypatch):
    monkeypatch.setattr(loading, "needs", lambda *_: traced)
    with pytest.raises(MemoryError, match="too little for 16 frames of 256x256: the least is 3.8 GiB .float16, VAE"):
        loading.load("modelscope", memory="2GiB")


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"memory": "much"}, "memory='much' is not a size"),
        ({"frames": 0}, "frames=0 is not allowed: use a whole number from 1 to 200"),
        ({"frames": True}, "frames=True is not allowed"),
        ({"frames": 10**6}, "frames=1000000 is not allowed: .* to 200"),
        ({"width": 2**20}, "width=1048576 is not allowed: use a whole number from 16 to 1024"),
        ({"memory": 10**400}, r"memory=10+[.0]* is not a size"),
        ({"height": 65}, "height=65 is not a multiple of 16 pixels: use 64 or 80"),
        ({"width": 1.5}, "width=1.5 is not allowed"),
        ({"dtype": "int8"}, "dtype='int8' is not allowed"),
    ],
)
def test_plans_that_are_refused(toy_folder, wrong, said):
    with pytest.raises(ValueError, match=said):
        loading.plan(toy_folder, **{"memory": "2GiB", "device": "cpu"} | wrong)
