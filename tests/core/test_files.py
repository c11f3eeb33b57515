"""files: written whole or not at all; damage is found and named."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2v_helpers.core import files


def test_write_text_gives_exactly_the_bytes_and_nothing_else(tmp_path):
    path = files.write_text(tmp_path / "new" / "note.txt", "a\nü\n")
    assert path.read_bytes() == "a\nü\n".encode()
    assert os.listdir(tmp_path / "new") == ["note.txt"]


def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    written = files.write_text(tmp_path / "whole", "")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_temporary_file_is_a_sibling_with_the_same_suffix(tmp_path):
    seen = []
    files.write_whole(tmp_path / "clip.mp4", lambda path: (seen.append(path), path.write_bytes(b"x")))
    assert seen[0].parent == tmp_path and seen[0].suffix == ".mp4" and seen[0].name != "clip.mp4"


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_after_a_failure_the_old_file_is_untouched(tmp_path, error):
    def half(path):
        path.write_text("half")
        raise error

    files.write_text(tmp_path / "note.txt", "old")
    with pytest.raises(type(error)) as caught:
        files.write_whole(tmp_path / "note.txt", half)
    assert caught.value is error
    assert (tmp_path / "note.txt").read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


def test_a_writer_that_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_whole(tmp_path / "note.txt", lambda path: None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), RuntimeError("I/O error: No space left on device")],
)
def test_disk_full(tmp_path, error):
    def fill(path):
        path.write_text("half")
        raise error

    with pytest.raises(OSError, match=r"disk is full.*clip\.mp4") as caught:
        files.write_whole(tmp_path / "clip.mp4", fill)
    assert caught.value.errno == errno.ENOSPC and os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full, which Linux has")
def test_disk_full_as_the_system_says_it(tmp_path):
    def fill(path):
        path.symlink_to("/dev/full")
        path.write_text("too much")

    with pytest.raises(OSError, match="the disk is full"):
        files.write_whole(tmp_path / "note.txt", fill)
    assert os.listdir(tmp_path) == []


def test_a_real_library_writes_through_it(tmp_path):
    weights = {"w": torch.arange(4.0)}
    path = files.write_whole(tmp_path / "w.safetensors", lambda temporary: save_file(weights, temporary))
    assert torch.equal(load_file(path)["w"], weights["w"])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.write_text(tmp_path, "")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(NotADirectoryError, match="a is a file.*b "):
        files.write_text(tmp_path / "a" / "b", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="may not be written to"):
        files.write_text(tmp_path / "note.txt", "")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("name", ["note.json", "deep/note.json"])
def test_a_folder_that_takes_no_files_whoever_asks(name):
    with pytest.raises(PermissionError, match=f"/proc may not be written to, so neither may /proc/{name}: choose"):
        files.check_target(f"/proc/{name}")


def test_looking_at_a_place_leaves_nothing_there(tmp_path):
    files.check_target(tmp_path / "deep" / "note.json")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "w.bin").write_bytes(b"12345")
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    files.write_manifest(tmp_path)
    return tmp_path


def test_manifest_lists_every_file_but_itself_and_hidden_ones(folder):
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert listed["unet/w.bin"] == {"bytes": 5, "sha256": hashlib.sha256(b"12345").hexdigest()}
    assert list(listed) == ["index.json", "unet/w.bin"]
    assert files.check_manifest(folder) is None


def test_a_manifest_written_again_is_the_same(folder):
    before = (folder / "manifest.json").read_text()
    assert files.write_manifest(folder).read_text() == before


def test_a_file_cut_short(folder):
    (folder / "unet" / "w.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"w\.bin has 3 bytes.* 5 "):
        files.check_manifest(folder)


def test_a_file_changed(folder):
    (folder / "unet" / "w.bin").write_bytes(b"12346")
    with pytest.raises(ValueError, match=r"w\.bin .*\w{64}.*\w{64}"):
        files.check_manifest(folder)


def test_a_file_gone(folder):
    (folder / "unet" / "w.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"w\.bin is missing"):
        files.check_manifest(folder)


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json does not exist"):
        files.check_manifest(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 3}', '{"files": {"a": {}}}', '{"files": {"a": 3}}', "\xff"]
)
def test_a_manifest_that_is_none(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="is not a manifest"):
        files.check_manifest(tmp_path)
