"""models: each way to a pipeline, in the cartoon's layout and in the hub's; the hub itself is a server on loopback."""

import json
import logging
import shutil
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import diffusers
import pytest
import torch
import transformers
from diffusers import DiffusionPipeline, TextToVideoSDPipeline
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from t2v_helpers import cartoon, environment, files, models
from t2v_helpers.generate import generate
from t2v_helpers.records import GenerationSpec

PUBLISHED = models.MODELSCOPE_WEIGHTS
TINY = GenerationSpec("a robot is dancing", steps=1, frames=1, height=64, width=64)


@pytest.fixture
def copy(toy_folder, tmp_path):
    """A toy folder of one's own, to be damaged."""
    return shutil.copytree(toy_folder, tmp_path / "copy")


@pytest.fixture
def bare(copy):
    """The same without a manifest, as `save_pretrained` leaves it."""
    (copy / files.MANIFEST).unlink()
    return copy


# --- what a loaded pipeline is


def test_the_toy_is_an_ordinary_pipeline(toy_pipe):
    assert type(toy_pipe) is TextToVideoSDPipeline
    for part in (toy_pipe.unet, toy_pipe.vae, toy_pipe.text_encoder):
        assert not part.training and part.dtype == torch.float32 and part.device == torch.device("cpu")
    assert toy_pipe.model_name == models.name_of(toy_pipe) == "toy"
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
    assert models.name_of(theirs) == "toy"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", torch.float16])
def test_every_part_gets_the_dtype(hub_folder, dtype):
    pipe = models.load(hub_folder, device="cpu", dtype=dtype)
    wanted = environment.pick_dtype(dtype)
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
    assert models.load(folder, device="cpu", dtype="float16").unet.dtype == torch.float16


def test_a_folder_with_half_size_files_alone_runs_in_single(hub_folder, tmp_path):
    folder = shutil.copytree(hub_folder, tmp_path / "half")
    for path in folder.glob("*/*.safetensors"):
        if ".fp16" not in path.name:
            path.unlink()
    pipe = models.load(folder, device="cpu", dtype="float32")
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
    assert models.defaults(toy_pipe) == models.Defaults(guidance=4.0, height=64, width=64, frames=16, fps=8)
    assert models.defaults(hub_pipe) == models.Defaults(guidance=9.0, height=256, width=256, frames=16, fps=8)


def test_sizes_follow_the_configs(toy_pipe, hub_pipe):
    assert (models.latent_channels(toy_pipe), models.latent_channels(hub_pipe)) == (8, 4)
    assert (models.size_multiple(toy_pipe), models.size_multiple(hub_pipe)) == (16, 64)
    assert models.LATENT_SCALE == toy_pipe.vae_scale_factor == hub_pipe.vae_scale_factor
    assert (models.token_room(toy_pipe), models.token_room(hub_pipe)) == (22, 75)


def test_the_size_multiple_is_the_least_that_the_unet_takes_without_padding(toy_pipe):
    """One latent pixel less, and the UNet has to be told the sizes on its way up."""
    down = models.size_multiple(toy_pipe) // models.LATENT_SCALE
    assert down == 2 ** sum(block.downsamplers is not None for block in toy_pipe.unet.down_blocks)


# --- what is said, and what is not


def test_loading_is_silent(toy_folder, capfd, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        models.load(toy_folder, device="cpu", dtype="float32")
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_the_warning_is_kept_quiet_for_this_class_and_inside_alone(toy_pipe):
    logger, heard = logging.getLogger("diffusers.pipelines.pipeline_utils"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger.addHandler(handler)
    with models.calm():
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
    with pytest.raises(KeyError, match="inside"), models.calm():
        assert not any(library.is_progress_bar_enabled() for library in libraries)
        raise KeyError("inside")
    assert all(library.is_progress_bar_enabled() for library in libraries)
    diffusers.utils.logging.disable_progress_bar()
    with models.calm():
        pass
    assert not diffusers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.enable_progress_bar()


# --- the shipped model


def test_the_shipped_folder_is_whole_and_in_its_layout():
    pipe = models.load("cartoon", device="cpu", offline=True)
    assert pipe.model_name == "cartoon" and models.is_cartoon(pipe) and models.latent_channels(pipe) == 8
    assert (models.size_multiple(pipe), models.token_room(pipe)) == (16, 22)
    assert pipe.unet.dtype == torch.float32
    assert sum(path.stat().st_size for path in models.CARTOON.rglob("*")) <= 20 * 2**20


def test_the_shipped_tokenizer_knows_every_word_of_the_world_as_one_token():
    tokenizer = models.load("cartoon", device="cpu").tokenizer
    for word in cartoon.vocabulary():
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word


def test_a_changed_byte_in_the_shipped_model_is_found(copy, monkeypatch):
    monkeypatch.setattr(models, "CARTOON", copy)
    assert models.load("cartoon", device="cpu").model_name == "cartoon"
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="diffusion_pytorch_model.safetensors has SHA-256 .* is expected: copy"):
        models.load("cartoon", device="cpu")


# --- folders that are no pipeline


def test_an_empty_folder_is_no_pipeline(tmp_path):
    with pytest.raises(ValueError, match="is no pipeline, model_index.json is missing"):
        models.load(tmp_path)


def test_an_index_that_is_not_json(bare):
    (bare / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="model_index.json cannot be read .*: copy or download"):
        models.load(bare)


@pytest.mark.parametrize("index", ['{"_class_name": "StableDiffusionPipeline"}', "{}", "[]"])
def test_another_pipeline(bare, index):
    (bare / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match="holds .* but (a TextToVideoSDPipeline|keys with values) (is|are) needed"):
        models.load(bare)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_is_missing(bare, part):
    shutil.rmtree(bare / part)
    with pytest.raises(ValueError, match=f"lacks {part}"):
        models.load(bare)


@pytest.mark.parametrize("keep", [0, 7, 200, 5000, -1])
@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_weights_cut_short(bare, part, keep):
    path = bare / f"{part}.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{path.name} is cut short or damaged .*: copy or download"):
        models.load(bare)


def test_pickles_are_not_opened(hub_folder, tmp_path):
    folder = shutil.copytree(hub_folder, tmp_path / "pickles")
    for path in folder.glob("*/*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match="no complete set of safetensors weights, and pickles are not opened"):
        models.load(folder)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model", "vae/diffusion_pytorch_model"])
def test_a_missing_tensor_is_not_filled_with_random_weights(bare, part):
    path = bare / f"{part}.safetensors"
    weights = load_file(path)
    weights.pop(sorted(weights)[-1])
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="does not fit its config .* is missing in the weights"):
        models.load(bare)


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
        models.load(bare)
    assert "\n" not in str(caught.value)


def test_a_gpu_too_small_for_the_weights(toy_folder, monkeypatch):
    def run_out(pipe, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    pipe = models.load(toy_folder, device="cpu", dtype="float32")
    monkeypatch.setattr(TextToVideoSDPipeline, "to", run_out)
    with pytest.raises(MemoryError, match="cuda:0 has too little memory for the model: take the dtype float16 or"):
        models._move(pipe, torch.device("cuda:0"))


# --- the hub's model, from a server on loopback


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download of one revision asks for."""

    root, asked, lie = None, [], None

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def log_message(self, *_):
        pass

    def _answer(self, body):
        path = self.path.split("?")[0]
        self.asked.append(path)
        about, tree = (f"/api/models/{models.MODELSCOPE}/{kind}/{models.REVISION}" for kind in ("revision", "tree"))
        start = f"/{models.MODELSCOPE}/resolve/{models.REVISION}/"
        if path == about:
            self._send(json.dumps({"id": models.MODELSCOPE, "sha": models.REVISION, "siblings": []}).encode(), "", body)
        elif path == tree:
            self._send(json.dumps([self._entry(file) for file in self._files()]).encode(), "tree", body)
        elif path.startswith(start):
            self._send((self.root / path.removeprefix(start)).read_bytes(), path.removeprefix(start), body)
        else:
            self.send_error(404)

    def _files(self):
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def _entry(self, path):
        name, size = path.relative_to(self.root).as_posix(), path.stat().st_size
        return {"type": "file", "path": name, "size": size, "oid": f"{abs(hash(name)):040x}"[:40]}

    def _send(self, data, name, body):
        if name == self.lie:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{abs(hash(name)):040x}"')
        self.send_header("X-Repo-Commit", models.REVISION)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """No download of before, and a hub that nobody answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    point_to(monkeypatch, 1)
    return tmp_path / "cache"


def point_to(monkeypatch, port):
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def published(hub, monkeypatch):
    """The true sizes and hashes, though the toy is served."""
    monkeypatch.setattr(models, "MODELSCOPE_WEIGHTS", PUBLISHED)


@pytest.fixture
def hub(empty_cache, hub_folder, monkeypatch):
    """A hub that has the toy in place of the model, and constants that say so."""
    weights = {
        variant: {name: {"bytes": (hub_folder / name).stat().st_size, "sha256": files.sha256(hub_folder / name)}
                  for name in names}
        for variant, names in models.MODELSCOPE_WEIGHTS.items()
    }  # fmt: skip
    monkeypatch.setattr(models, "MODELSCOPE_WEIGHTS", weights)
    handler = type("ToyHub", (Hub,), {"root": hub_folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    point_to(monkeypatch, server.server_port)
    yield handler
    server.shutdown()
    server.server_close()


def test_modelscope_is_downloaded_once_at_its_revision(hub, capfd):
    pipe = models.load("modelscope", device="cpu", dtype="float16")
    said = capfd.readouterr().err
    assert "ali-vilab/text-to-video-ms-1.7b" in said and "CC-BY-NC" in said
    assert "GB" in said and "GiB of memory" in said
    assert pipe.model_name == "modelscope" and pipe.unet.dtype == torch.float16 and pipe.vae.use_slicing
    names = {path.partition("resolve/")[2].partition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert names == {*models.MODELSCOPE_CONFIGS, *models.MODELSCOPE_WEIGHTS["fp16"]}  # no pickles, one variant
    assert all(models.REVISION in path for path in hub.asked if models.MODELSCOPE in path)
    hub.asked.clear()
    again = models.load("modelscope", device="cpu", dtype="float16", offline=True)
    assert again.model_name == "modelscope" and capfd.readouterr().err == ""
    assert not any(models.MODELSCOPE in path for path in hub.asked)


def test_single_precision_takes_the_full_size_files(hub, capfd):
    models.load("modelscope", device="cpu", dtype="float16", quiet=True)
    assert "licence" not in capfd.readouterr().err
    pipe = models.load("modelscope", device="cpu", dtype="float32", offline=False)
    assert pipe.unet.dtype == torch.float32
    assert generate(pipe, TINY).record.model == "modelscope"


def test_a_wrong_hash_after_the_download(hub):
    hub.lie = "unet/diffusion_pytorch_model.fp16.safetensors"
    with pytest.raises(ValueError, match="unet.* has SHA-256 .* is expected: delete .* and load the model again"):
        models.load("modelscope", device="cpu", dtype="float16", quiet=True)


def test_a_cached_file_of_another_size(hub, empty_cache):
    models.load("modelscope", device="cpu", dtype="float16", quiet=True)
    path = next(empty_cache.rglob("vae/diffusion_pytorch_model.fp16.safetensors"))
    path.resolve().write_bytes(b"short")
    with pytest.raises(ValueError, match="has 5 bytes, but .* are expected: delete .* and load the model again"):
        models.load("modelscope", device="cpu", dtype="float16", quiet=True)


def test_the_hub_lacks_a_file(hub, monkeypatch):
    monkeypatch.setattr(models, "REVISION", "0" * 40)
    monkeypatch.setattr(hub, "_answer", lambda self, body: self.send_error(404))
    with pytest.raises(ConnectionError, match="could not be downloaded .*check the network and load it again"):
        models.load("modelscope", device="cpu", dtype="float16", quiet=True)


def test_no_network(empty_cache, monkeypatch):
    monkeypatch.setattr(models, "_check_memory", lambda *_: None)
    with pytest.raises(ConnectionError, match="could not be downloaded .*check the network") as caught:
        models.load("modelscope", device="cpu", dtype="float16")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("offline, variable", [(True, False), (None, True)])
def test_offline_without_a_download_of_before(empty_cache, monkeypatch, offline, variable):
    monkeypatch.setattr(models, "_check_memory", lambda *_: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", variable)
    with pytest.raises(ConnectionError, match="12 files of .* offline is set: load it once with a network"):
        models.load("modelscope", device="cpu", dtype="float16", offline=offline)


@pytest.mark.parametrize("dtype, needed", [("float16", "4.3"), ("float32", "8.5")])
def test_too_little_memory(empty_cache, monkeypatch, dtype, needed):
    monkeypatch.setattr(environment, "free_memory_bytes", lambda device: 2**30)
    with pytest.raises(MemoryError, match=f"needs {needed} GiB of memory on cpu, but 1.0 are free: close"):
        models.load("modelscope", device="cpu", dtype=dtype)


@pytest.mark.parametrize("dtype, size", [("float16", "3.67"), ("float32", "7.34")])
def test_too_little_disk(empty_cache, monkeypatch, dtype, size):
    monkeypatch.setattr(environment, "free_memory_bytes", lambda device: 2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9))
    with pytest.raises(OSError, match=f"needs {size} GB of disk, but .* has 1.00 GB free: delete .* HF_HOME"):
        models.load("modelscope", device="cpu", dtype=dtype)


def test_the_sizes_said_are_those_of_the_hub(hub, published, monkeypatch, capfd):
    monkeypatch.setattr(environment, "free_memory_bytes", lambda device: 2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, 10**12))
    for dtype, size in (("float16", "3.67"), ("float32", "7.34")):
        with pytest.raises(ValueError, match="are expected: delete"):  # the toy's files are smaller than the true ones
            models.load("modelscope", device="cpu", dtype=dtype)
        assert f"Downloading {size} GB" in capfd.readouterr().err


# --- skeletons


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.named_parameters()}


def test_a_skeleton_has_the_shapes_of_the_model_and_no_weights(toy_folder, toy_pipe):
    parts = models.skeleton(toy_folder)
    assert tuple(parts) == models.PARTS
    for name, part in parts.items():
        assert shapes(part) == shapes(getattr(toy_pipe, name)) and not part.training
        assert {tensor.device.type for tensor in part.parameters()} == {"meta"}


def test_the_skeletons_that_have_names(monkeypatch):
    monkeypatch.setattr(models, "snapshot_download", None)  # nothing is downloaded
    assert models.skeleton("cartoon")["unet"].config.sample_size == 8
    unet = models.skeleton("modelscope")["unet"]
    assert unet.config.block_out_channels == [320, 640, 1280, 1280] and not torch.get_default_device().type == "meta"


@pytest.mark.parametrize("name, error", [("sora", ValueError), ("no/such", FileNotFoundError)])
def test_a_skeleton_of_nothing(name, error):
    with pytest.raises(error, match="is unknown|is no folder"):
        models.skeleton(name)


@pytest.mark.parametrize("damage", ["not json", '{"block_out_channels": "wide"}'])
def test_a_skeleton_of_a_damaged_config(bare, damage):
    (bare / "unet" / "config.json").write_text(damage)
    with pytest.raises(ValueError, match="unet.*copy or download the folder again"):
        models.skeleton(bare)


def test_unknown_words_can_be_refused():
    models.refuse_unknown_words("a dog is dancing on the moon")
    with pytest.raises(ValueError, match="the cartoon model does not know 'unicorn', 'tractor': it knows a, an, "):
        models.refuse_unknown_words("a unicorn on a tractor")
