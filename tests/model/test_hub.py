"""hub: the real model's download, with huggingface_hub's own code and a server on loopback that stands for the hub."""

import dataclasses
import errno
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from t2v_helpers import cli
from t2v_helpers.core import files
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.machine import probe
from t2v_helpers.model import hub, loading
from t2v_helpers.model.generate import generate
from t2v_helpers.model.later import wan

PUBLISHED = hub.WEIGHTS
TINY = GenerationSpec("a robot is dancing", steps=1, frames=1, height=64, width=64)
TEXT = "text_encoder/model.fp16.safetensors"
UNET, VAE = (f"{part}/diffusion_pytorch_model.fp16.safetensors" for part in ("unet", "vae"))


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download of one revision asks for.

    lies: files that are sent with a wrong byte; cut: one whose sending is broken off; lacks: one that is not there.
    refuse: a status, headers and a body that are the answer to everything, or to what has `late` in its path.
    """

    root, asked, lies, cut, lacks, refuse, late = None, [], (), None, None, None, ""
    repo, revision = hub.MODELSCOPE, hub.REVISION

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def log_message(self, *_):
        pass

    def _answer(self, body):
        path = self.path.split("?")[0]
        self.asked.append(path)
        about, tree = (f"/api/models/{self.repo}/{kind}/{self.revision}" for kind in ("revision", "tree"))
        start = f"/{self.repo}/resolve/{self.revision}/"
        if self.refuse and self.late in path:
            self._refuse(*self.refuse)
        elif path == about:
            self._send(json.dumps({"id": self.repo, "sha": self.revision, "siblings": []}).encode(), "", body)
        elif path == tree:
            self._send(json.dumps([self._entry(file) for file in self._files()]).encode(), "tree", body)
        elif path.startswith(start):
            self._send((self.root / path.removeprefix(start)).read_bytes(), path.removeprefix(start), body)
        else:
            self.send_error(404)

    def _refuse(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _files(self):
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path for path in found if path.relative_to(self.root).as_posix() != self.lacks)

    def _entry(self, path):
        name, size = path.relative_to(self.root).as_posix(), path.stat().st_size
        return {"type": "file", "path": name, "size": size, "oid": f"{abs(hash(name)):040x}"[:40]}

    def _send(self, data, name, body):
        if name in self.lies:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{abs(hash(name)):040x}"')
        self.send_header("X-Repo-Commit", self.revision)
        self.end_headers()
        if body and name == self.cut:
            self.wfile.write(data[: len(data) // 2])
            self.connection.shutdown(socket.SHUT_RDWR)
        elif body:
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
    """What HF_ENDPOINT does when the library is imported."""
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def server(empty_cache, hub_folder, monkeypatch, tmp_path):
    """A hub that has the toy in place of the model; sizes, hashes and configs that ship with the course say so."""
    weights = {
        variant: {name: {"bytes": (hub_folder / name).stat().st_size, "sha256": files.sha256(hub_folder / name)}
                  for name in names}
        for variant, names in PUBLISHED.items()
    }  # fmt: skip
    monkeypatch.setattr(hub, "WEIGHTS", weights)
    monkeypatch.setattr(hub, "MODELSCOPE_SHAPES", tmp_path)
    for name, shipped in hub.CONFIGS.items():
        if shipped:
            shutil.copy(hub_folder / name, tmp_path / shipped)
    handler = type("ToyHub", (Hub,), {"root": hub_folder, "asked": []})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    point_to(monkeypatch, listening.server_port)
    yield handler
    listening.shutdown()
    listening.server_close()


def load(**words):
    return loading.load("modelscope", device="cpu", dtype="float16", quiet=True, **words)


def refusal(error, **words) -> str:
    """The one sentence in which loading ends."""
    with pytest.raises(error) as caught:
        load(**words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cached(name):
    """Where a file of modelscope is, after a download."""
    return hub.modelscope(torch.float16).cached(name)


def download() -> None:
    """What loading does first: every file is there afterwards, as it was published."""
    hub.fetched(hub.modelscope(torch.float16), None, 0, quiet=True)


# --- what goes well


def test_modelscope_is_downloaded_once_at_its_revision(server, capfd):
    pipe = loading.load("modelscope", device="cpu", dtype="float16")
    said = capfd.readouterr().err
    assert "ali-vilab/text-to-video-ms-1.7b" in said and "CC-BY-NC" in said
    assert "GB" in said and "GiB of memory" in said
    assert pipe.model_name == "modelscope" and pipe.unet.dtype == torch.float16 and pipe.vae.use_slicing
    names = {path.partition("resolve/")[2].partition("/")[2] for path in server.asked if "/resolve/" in path}
    assert names == {*hub.CONFIGS, *hub.WEIGHTS["fp16"]}  # no pickles, one variant
    assert all(hub.REVISION in path for path in server.asked if hub.MODELSCOPE in path)
    server.asked.clear()
    again = loading.load("modelscope", device="cpu", dtype="float16", offline=True)
    assert again.model_name == "modelscope" and capfd.readouterr().err == ""
    assert not any(hub.MODELSCOPE in path for path in server.asked)


def test_single_precision_takes_the_full_size_files(server, capfd):
    load()
    assert "licence" not in capfd.readouterr().err
    pipe = loading.load("modelscope", device="cpu", dtype="float32", offline=False)
    assert pipe.unet.dtype == torch.float32
    assert generate(pipe, TINY).record.model == "modelscope"


def test_it_can_be_fetched_without_being_loaded(server, empty_cache, capsys, monkeypatch):
    assert cli.main(["download"]) == 0
    folder = capsys.readouterr().out.strip()
    assert folder.endswith(hub.REVISION) and any(empty_cache.rglob(UNET))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load().model_name == "modelscope"
    assert cli.main(["download", "--dtype", "float32"]) == 2
    assert "offline is set: fetch them with `t2v download --dtype float32`, with a" in capsys.readouterr().err


def test_a_cache_half_filled_is_filled(server, empty_cache):
    load()
    next(empty_cache.rglob(VAE)).unlink()
    next(empty_cache.rglob("vocab.json")).unlink()
    assert "2 files of ali-vilab" in refusal(ConnectionError, offline=True)
    server.asked.clear()
    assert load().model_name == "modelscope"
    fetched = [path for path in server.asked if path.endswith(".safetensors")]
    assert fetched and all(path.endswith(VAE) for path in fetched)  # what was there is kept


# --- what the hub answers


REFUSALS = [
    (401, {}, "it asks who you are: type `hf auth login`"), (403, {}, "it refuses access: type `hf auth login`"),
    (404, {}, "it does not have this model or revision: see whether HF_ENDPOINT"),
    (429, {}, "it received too many requests: wait some minutes"),
    (503, {}, "it has problems of its own: try again later"),
]  # fmt: skip
EXPLAINED = [
    (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "`hf auth login`, or remove a token"),
    (403, {"X-Error-Code": "GatedRepo"}, "accept its licence at https://huggingface.co/ali-vilab/text-to-video"),
    (404, {"X-Error-Code": "RepoNotFound"}, "it does not have this model or revision: see whether HF_ENDPOINT"),
    (404, {"X-Error-Code": "RevisionNotFound"}, "it does not have this model or revision"),
    (500, {}, "it has problems of its own: try again later"),
]


@pytest.mark.parametrize(
    "late, status, headers, said",
    [("", *refused) for refused in EXPLAINED]
    + [(late, *refused) for late in ("", "/tree/", "/resolve/") for refused in REFUSALS],
)
def test_each_refusal_of_the_hub_has_its_next_step(server, empty_cache, monkeypatch, late, status, headers, said):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits before it tries again
    server.refuse, server.late = (status, headers), late
    sentence = refusal(ConnectionError)
    assert sentence.startswith(f"{hub.MODELSCOPE} could not be downloaded ({constants.ENDPOINT} answers {status}): ")
    assert said in sentence and sentence.endswith("or use the model 'cartoon'.")
    assert not list(empty_cache.rglob("*.safetensors"))
    server.refuse = None
    download()  # nothing of it stays in the way


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"", b"[]", b"{}", b"null", b'"yes"'])
@pytest.mark.parametrize("late", ["", "/tree/"])
def test_what_answers_is_no_hub(server, late, body):
    server.refuse, server.late = (200, {"Content-Type": "application/json"}, body), late
    said = refusal(ConnectionError)
    assert said.startswith(f"{hub.MODELSCOPE} could not be downloaded (") and said.endswith("use the model 'cartoon'.")
    if not late:
        assert "see whether this network wants a login in a browser, and HF_ENDPOINT, HTTPS_PROXY and" in said


@pytest.mark.parametrize(
    "name, value", [("HF_TOKEN", "hf_süß"), ("HTTP_PROXY", "foo://bar"), ("HTTPS_PROXY", "foo://bar")]
)
def test_variables_that_are_none(server, monkeypatch, name, value):
    huggingface_hub.close_session()  # which has read the proxies
    monkeypatch.setenv(name, value)
    assert "and HF_ENDPOINT, HTTPS_PROXY and HF_TOKEN are right; " in refusal(ConnectionError)
    huggingface_hub.close_session()


def test_an_endpoint_that_is_no_address(server, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://[bad")
    assert "could not be downloaded (" in refusal(ConnectionError)


def test_a_hub_that_lacks_a_file(server):
    server.lacks = VAE
    assert f"lists no {VAE}): it does not have this model or revision" in refusal(ConnectionError)


def test_a_hub_that_does_not_answer(empty_cache, monkeypatch):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**40, 2**40))
    assert "check the network (the hub is http://127.0.0.1:1) and load it again" in refusal(ConnectionError)


# --- files that are not what was published


def test_wrong_bytes_are_found_together_and_nothing_of_them_stays(server, empty_cache):
    server.lies = UNET, VAE
    said = refusal(ValueError)
    for name in server.lies:
        assert f"{name} has SHA-256" in said
        assert not list(empty_cache.rglob(name))
    assert said.endswith("is expected: what is wrong was deleted, so load or download the model again.")
    assert cached(TEXT) and cached("unet/config.json")  # what is right is kept
    server.lies = ()
    download()


def test_what_came_in_a_download_that_was_broken_off_is_looked_at_in_the_next(server, empty_cache, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.lies, server.cut = (TEXT,), UNET
    refusal(ConnectionError)
    assert list(empty_cache.rglob(TEXT))
    server.lies, server.cut = (), None
    assert f"{TEXT} has SHA-256" in refusal(ValueError)
    download()
    assert files.sha256(cached(TEXT)) == hub.WEIGHTS["fp16"][TEXT]["sha256"]


@pytest.mark.parametrize(
    "name, text",
    [("unet/config.json", '{"a":'), ("unet/config.json", "{}"), ("unet/config.json", "<html>log in</html>"),
     ("model_index.json", ""), ("scheduler/scheduler_config.json", "[]"), ("vae/config.json", "null"),
     ("tokenizer/special_tokens_map.json", "{"), ("tokenizer/vocab.json", "{"), ("tokenizer/vocab.json", "{}"),
     ("tokenizer/merges.txt", ""), ("tokenizer/merges.txt", "#version: 0.2\nd o\n"), ("tokenizer/merges.txt", "<p>")],
)  # fmt: skip
def test_a_damaged_config_is_mended_by_a_download(server, capsys, name, text):
    download()
    cached(name).resolve().write_text(text)
    assert "type `t2v download --dtype float16`, which checks every byte" in refusal(ValueError)
    assert cli.main(["download"]) == 0
    said = capsys.readouterr().err
    assert f"/{name}" in said and ": deleted.\n" in said
    assert cached(name).read_bytes() == (server.root / name).read_bytes()


def test_a_config_that_is_damaged_on_its_way_is_deleted(server, empty_cache):
    server.lies = "unet/config.json", "tokenizer/vocab.json"
    assert "unet/config.json is not as published" in refusal(ValueError)
    assert not any(list(empty_cache.rglob(name)) for name in server.lies)
    server.lies = ()
    download()


def test_zeros_in_place_of_weights_are_mended_by_a_download(server, capsys):
    download()
    path = cached(UNET).resolve()
    path.write_bytes(bytes(path.stat().st_size))
    assert "is cut short or damaged" in refusal(ValueError)
    assert cli.main(["download"]) == 0 and f"{UNET} has SHA-256" in capsys.readouterr().err
    download()


def test_a_download_of_what_is_there_asks_for_nothing_and_hashes_all(server, monkeypatch):
    download()
    server.asked.clear()
    hashed, sha256 = [], files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: hashed.append(path) or sha256(path))
    load()
    assert not hashed
    assert cli.main(["download"]) == 0
    assert len(hashed) == len(hub.WEIGHTS["fp16"]) and not any(hub.MODELSCOPE in path for path in server.asked)


def test_the_configs_that_ship_are_those_that_are_looked_for():
    shipped = {name for name in hub.CONFIGS.values() if name}
    assert shipped == {path.name for path in hub.MODELSCOPE_SHAPES.glob("*.json")} - {"weights.json"}


def test_a_download_that_is_broken_off_goes_on(server, empty_cache, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits before it tries again
    server.cut = UNET
    assert "check the network" in refusal(ConnectionError)
    assert not list(empty_cache.rglob(UNET))
    server.cut = None
    download()


def test_a_cached_file_of_another_size(server, empty_cache):
    download()
    path = next(empty_cache.rglob(VAE))
    path.resolve().write_bytes(b"short")
    assert f"has 5 bytes, but {hub.WEIGHTS['fp16'][VAE]['bytes']} are expected: type `t2v d" in refusal(ValueError)
    assert cli.main(["download"]) == 0
    download()


# --- what this machine has not


@pytest.mark.parametrize("offline, variable", [(True, False), (None, True)])
def test_offline_without_a_download_of_before(empty_cache, monkeypatch, offline, variable):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**40, 2**40))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", variable)
    assert "12 files of ali-vilab/text-to-video-ms-1.7b are not in" in refusal(ConnectionError, offline=offline)


@pytest.mark.parametrize("dtype, needed", [("float16", "4.3"), ("float32", "8.5")])
def test_too_little_memory(empty_cache, monkeypatch, dtype, needed):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**30, 2**30))
    with pytest.raises(MemoryError, match=f"needs {needed} GiB of memory on cpu, but 1.0 are free: close"):
        loading.load("modelscope", device="cpu", dtype=dtype)


@pytest.mark.parametrize("dtype, size", [("float16", "3.4"), ("float32", "6.8")])
def test_too_little_disk(empty_cache, monkeypatch, dtype, size):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**40, 2**40))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9))
    with pytest.raises(OSError, match=rf"HF_HOME.* needs {size} GiB in .*, but 0\.9 are free: delete"):
        loading.load("modelscope", device="cpu", dtype=dtype)


def test_a_disk_that_is_full_on_the_way(server, monkeypatch):
    def run_out(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub, "snapshot_download", run_out)
    assert "No space left on device): delete something, or let HF_HOME name a folder on a larger disk;" in (
        refusal(ConnectionError)
    )


def test_a_cache_that_cannot_be_written(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert "let HF_HOME name a folder that you may write to; " in refusal(ConnectionError)


def test_the_sizes_said_are_those_of_the_hub(server, monkeypatch, capfd):
    monkeypatch.setattr(hub, "WEIGHTS", PUBLISHED)  # though the toy is served
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**40, 2**40))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, 10**12))
    for dtype, size in (("float16", "3.67"), ("float32", "7.34")):
        with pytest.raises(ValueError, match="are expected; .*: what is wrong was deleted, so load or download"):
            loading.load("modelscope", device="cpu", dtype=dtype)
        assert f"Downloading {size} GB" in capfd.readouterr().err


# --- Wan, all of whose files have hashes


@pytest.fixture
def wan_server(server, wan_folder, monkeypatch):
    """The same hub with a tiny Wan; its sizes and hashes stand in for the published ones."""
    names = [path.relative_to(wan_folder).as_posix() for path in wan_folder.rglob("*") if path.is_file()]
    hashed = {
        name: {"bytes": (wan_folder / name).stat().st_size, "sha256": files.sha256(wan_folder / name)} for name in names
    }
    monkeypatch.setattr(wan, "REPOSITORY", dataclasses.replace(wan.REPOSITORY, hashed=hashed))
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**40, 2**40))
    server.root, server.repo, server.revision = wan_folder, wan.REPOSITORY.name, wan.REPOSITORY.revision
    return server


def test_wan_is_downloaded_once_at_its_revision(wan_server, capfd):
    asked = wan.spec("a dog is dancing", steps=1, frames=1, height=16, width=16)
    made = wan.generate(wan.load(device="cpu"), asked)
    said = capfd.readouterr().err
    assert "of Wan-AI/Wan2.1-T2V-1.3B-Diffusers (licence Apache-2.0)" in said and "13.7 GiB of memory" in said
    assert all(wan.REPOSITORY.revision in path for path in wan_server.asked if "Wan-AI" in path)
    wan_server.asked.clear()
    again = wan.generate(wan.load(device="cpu", offline=True), asked)
    assert (again.frames == made.frames).all() and not any("Wan-AI" in path for path in wan_server.asked)


def test_a_wrong_byte_of_wan_is_found_and_fetched_again(wan_server, empty_cache, capsys):
    wan_server.lies = ("vae/config.json",)
    with pytest.raises(ValueError, match="vae/config.json has SHA-256.*what is wrong was deleted"):
        wan.load(device="cpu", quiet=True)
    assert not list(empty_cache.rglob("vae/config.json"))
    wan_server.lies = ()
    assert cli.main(["download", "--model", "wan"]) == 0
    assert capsys.readouterr().out.strip().endswith(wan.REPOSITORY.revision)
    wan.REPOSITORY.cached("model_index.json").resolve().write_text("{}")
    with pytest.raises(ValueError, match="has 2 bytes.*type `t2v download --model wan`"):
        wan.load(device="cpu", quiet=True)


def test_wan_offline_without_a_download_of_before(wan_server):
    with pytest.raises(ConnectionError, match="files of Wan-AI.*fetch them with `t2v download --model wan`"):
        wan.load(device="cpu", quiet=True, offline=True)


def test_what_is_said_of_wans_download_is_what_its_files_have():
    total = sum(file["bytes"] for file in wan.PUBLISHED["files"].values())
    assert round(total / 1e9) == 29 and set(wan.PUBLISHED["files"]) >= {"model_index.json", "tokenizer/tokenizer.json"}
    assert all(len(file["sha256"]) == 64 for file in wan.PUBLISHED["files"].values())
