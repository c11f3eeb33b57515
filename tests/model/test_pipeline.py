"""pipeline: the stand-in is held against diffusers' class, and works in a diffusers without that class."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, TextToVideoSDPipeline

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import unet
from t2v_helpers.model import generate, loading, lora, pipeline, swapping
from t2v_helpers.model.pipeline import CoursePipeline, OwnPipeline

SPEC = GenerationSpec("a robot is dancing", "a dog", seed=3, steps=2, frames=3, guidance=4.0)
HIDDEN = ("TextToVideoSDPipeline", "VideoToVideoSDPipeline", "TextToVideoZeroPipeline", "UNet3DConditionModel")
WITHOUT = """
import json
import sys

import diffusers

for name in sys.argv[3:]:
    del diffusers._class_to_module[name]
    assert not hasattr(diffusers, name)

import importlib
import pkgutil

import numpy as np
import t2v_helpers

for module in pkgutil.walk_packages(t2v_helpers.__path__, "t2v_helpers."):
    importlib.import_module(module.name)

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import generate, loading

pipe = loading.load(sys.argv[1], device="cpu", dtype="float32")
made = generate.generate(pipe, GenerationSpec(**json.load(sys.stdin)))
np.save(sys.argv[2], made.frames)
print(type(pipe).__name__, type(pipe.unet).__name__, loading.is_cartoon(pipe), pipe.model_name)
"""


@pytest.fixture
def stand_in(toy_pipe) -> OwnPipeline:
    return OwnPipeline(**toy_pipe.components)


def test_today_the_class_is_that_of_diffusers():
    assert pipeline.Base is TextToVideoSDPipeline and issubclass(CoursePipeline, TextToVideoSDPipeline)


@torch.no_grad()
def test_the_words_are_read_as_diffusers_reads_them(stand_in, toy_pipe):
    words = {"prompt": SPEC.prompt, "negative_prompt": SPEC.negative_prompt, "device": torch.device("cpu"),
             "num_images_per_prompt": 1, "do_classifier_free_guidance": True}  # fmt: skip
    for ours, theirs in zip(stand_in.encode_prompt(**words), toy_pipe.encode_prompt(**words), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_latents_are_decoded_as_diffusers_decodes_them(stand_in, toy_pipe):
    latents = torch.randn(2, 8, 3, 8, 8)  # [b c f h w]
    torch.testing.assert_close(stand_in.decode_latents(latents), toy_pipe.decode_latents(latents))


def test_it_is_moved_and_offloaded_as_any_pipeline(stand_in):
    assert stand_in.device == stand_in._execution_device == torch.device("cpu")
    assert stand_in.model_cpu_offload_seq == TextToVideoSDPipeline.model_cpu_offload_seq
    assert stand_in.vae_scale_factor == 8 and set(stand_in.components) == {*loading.PARTS, "tokenizer", "scheduler"}


@pytest.mark.parametrize("base", [pipeline.Base, OwnPipeline])
@pytest.mark.parametrize("layout, variant", [("toy_folder", None), ("hub_folder", "fp16")])
def test_a_folder_is_opened_as_diffusers_opens_it(request, monkeypatch, layout, variant, base):
    folder, dtype = request.getfixturevalue(layout), torch.float16 if variant else torch.float32
    theirs = TextToVideoSDPipeline.from_pretrained(folder, dtype=dtype, variant=variant, use_safetensors=True)
    monkeypatch.setattr(loading, "Base", base)
    pipe = loading.load(folder, device="cpu", dtype=dtype)
    assert isinstance(pipe, CoursePipeline) and pipe.unet.dtype == theirs.unet.dtype == dtype
    for part in loading.PARTS:
        wanted = getattr(theirs, part).state_dict()
        assert not getattr(pipe, part).training
        assert all(torch.equal(x, wanted[name]) for name, x in getattr(pipe, part).state_dict().items())
    assert pipe.tokenizer(SPEC.prompt).input_ids == theirs.tokenizer(SPEC.prompt).input_ids
    assert pipe.scheduler.alphas_cumprod.equal(theirs.scheduler.alphas_cumprod)


def test_the_course_goes_on_when_diffusers_drops_the_class(toy_folder, toy_pipe, tmp_path):
    """In a Python where diffusers does not have these names, every module loads, and a video is made: the same one."""
    out = tmp_path / "frames.npy"
    words = {"prompt": SPEC.prompt, "negative_prompt": SPEC.negative_prompt, "seed": 3, "steps": 2, "frames": 3,
             "guidance": 4.0}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(toy_folder), str(out), *HIDDEN],
                          input=json.dumps(words), capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["CoursePipeline", "UNet3D", "True", "toy"]
    found, wanted = np.load(out).astype(int), generate.generate(toy_pipe, SPEC).frames.astype(int)
    assert found.shape == wanted.shape and abs(found - wanted).max() <= 1 and wanted.std() > 1


def test_a_saved_pipeline_is_an_ordinary_folder(toy_pipe, tmp_path):
    toy_pipe.save_pretrained(tmp_path / "saved")
    theirs = TextToVideoSDPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)
    assert json.loads((tmp_path / "saved" / "model_index.json").read_text())["_class_name"] == "TextToVideoSDPipeline"
    assert type(theirs) is TextToVideoSDPipeline
    for part in ("unet", "vae", "text_encoder"):
        ours = getattr(toy_pipe, part).state_dict()
        assert all(torch.equal(value, ours[name]) for name, value in getattr(theirs, part).state_dict().items())
    # diffusers leaves weights where they lie in the file, at addresses for which some processors add in another order
    found, wanted = (generate.generate(pipe, SPEC).frames.astype(int) for pipe in (theirs, toy_pipe))
    assert abs(found - wanted).max() <= 1 and wanted.std() > 1


def test_a_pipeline_of_diffusers_and_its_view_have_one_state(toy_pipe):
    theirs = TextToVideoSDPipeline(**toy_pipe.components)
    view = pipeline.course_pipeline(theirs)
    assert pipeline.course_pipeline(view) is view and view.unet is theirs.unet
    view.scheduler = other = type(theirs.scheduler).from_config(theirs.scheduler.config)
    assert theirs.scheduler is other


def test_fields_and_parts_come_back_as_they_were(toy_pipe):
    before = dict(vars(toy_pipe)), toy_pipe.scheduler
    other = type(toy_pipe.scheduler).from_config(toy_pipe.scheduler.config)
    with pytest.raises(KeyError), toy_pipe.using(new_words=("sepia",), scheduler=other):
        assert toy_pipe.new_words == ("sepia",) and toy_pipe.scheduler is other
        raise KeyError
    assert toy_pipe.new_words == () and toy_pipe.scheduler is before[1] and set(vars(toy_pipe)) == set(before[0])
    for name in ("colour", "x" * 10_000):
        with pytest.raises(AttributeError, match=f"no part .* {name[:20]}.{{,300}}$"), toy_pipe.using(**{name: 1}):
            pass


# --- saved


@pytest.fixture
def own(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


def weights_of(pipe):
    return {name: x for name, x in pipe.unet.state_dict().items()}


def test_the_courses_unet_and_a_compiled_one_are_saved_as_diffusers_own(own, tmp_path):
    before = weights_of(own)
    own.unet = unet.from_diffusers(own.unet)
    own.save_pretrained(tmp_path / "fast")
    own.unet, own.vae = torch.compile(own.unet), torch.compile(own.vae)  # nothing is compiled before it is called
    own.save_pretrained(tmp_path / "compiled")
    for name in ("fast", "compiled"):
        theirs = TextToVideoSDPipeline.from_pretrained(tmp_path / name)
        found = theirs.unet.state_dict()
        assert found.keys() == before.keys() and all(torch.equal(x, found[key]) for key, x in before.items())
        assert weights_of(loading.load(tmp_path / name, device="cpu")).keys() == before.keys()


def test_a_lora_is_merged_before_it_is_saved_and_its_words_stay(own, tmp_path):
    lora.add(own, rank=2)
    own.new_words = ("sepia",)
    with pytest.raises(ValueError, match=r"has a LoRA: lora\.merge"):
        own.save_pretrained(tmp_path / "a")
    lora.merge(own)
    own.save_pretrained(tmp_path / "a")
    assert loading.load(tmp_path / "a", device="cpu").new_words == ("sepia",)


def test_a_part_that_no_folder_holds_is_named(own, tmp_path):
    own.text_encoder = swapping.Adapted(own.text_encoder, torch.nn.Identity())
    with pytest.raises(ValueError, match="text_encoder is a Adapted"):
        own.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def saved(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def merged(own, tmp_path):
    """A folder with the words of a merged LoRA."""
    with own.using(new_words=("sepia",)):
        own.save_pretrained(tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_save_that_stops_half_way_leaves_the_model_that_was_there(own, merged, monkeypatch, error):
    def fail(*_, **__):
        raise error

    before = saved(merged)
    own.unet.half(), own.text_encoder.half()
    monkeypatch.setattr(type(own.vae), "save_pretrained", fail)
    with pytest.raises(error):
        own.save_pretrained(merged)
    assert saved(merged) == before and [path.name for path in merged.parent.iterdir()] == ["a"]


def test_a_saved_model_keeps_nothing_of_the_one_before_and_tells_no_place(own, merged):
    own.save_pretrained(merged)
    assert loading.load(merged, device="cpu").new_words == ()
    assert not [name for name, data in saved(merged).items() if b"being-written" in data]


def test_a_folder_with_more_than_a_model_is_not_replaced(own, merged):
    (merged / "README.md").write_text("mine")
    before = saved(merged)
    for folder, said in ((merged, "README.md is in it, too"), (merged.parent, "holds files, but no model_in")):
        with pytest.raises(ValueError, match=said):
            own.save_pretrained(folder)
    assert saved(merged) == before


@pytest.mark.parametrize("options", [{"safe_serialization": False}, {"variant": "bf16"}])
def test_what_is_not_read_is_not_written(own, tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        own.save_pretrained(tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_written_can_be_loaded(own, tmp_path):
    for options in ({"variant": "fp16"}, {"max_shard_size": "100KB"}):
        own.save_pretrained(tmp_path / "a", **options)
        found = weights_of(loading.load(tmp_path / "a", device="cpu", dtype="float32"))
        assert all(torch.equal(x, found[name]) for name, x in weights_of(own).items())


def compiled_inside(pipe):
    pipe.unet.mid_block = torch.compile(pipe.unet.mid_block)


def parametrized(pipe):
    torch.nn.utils.parametrizations.weight_norm(pipe.unet.conv_out)


def predicting_otherwise(pipe):
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="sample")


def doubtful_word(pipe):
    pipe.new_words = ("a\nb",)


@pytest.mark.parametrize("change, said", [
    (compiled_inside, r"unet\.mid_block is compiled: put unet\.mid_block\._orig_mod in its place"),
    (parametrized, r"is not saved, since it could not be loaded again: unet does not fit its config .*conv_out"),
    (predicting_otherwise, "loaded again: scheduler/.*prediction_type"),
    (doubtful_word, "loaded again: words.json lists"),
])  # fmt: skip
def test_a_model_that_could_not_be_loaded_is_not_saved(own, tmp_path, change, said):
    change(own)
    with pytest.raises(ValueError, match=said):
        own.save_pretrained(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_model_with_nan_replaces_none(toy_folder, tmp_path):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    pipe.save_pretrained(tmp_path / "mine")
    pipe.vae.quant_conv.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="vae has quant_conv.bias"):
        pipe.save_pretrained(tmp_path / "mine")
    assert loading.load(tmp_path / "mine", device="cpu").vae.quant_conv.bias.isfinite().all()
