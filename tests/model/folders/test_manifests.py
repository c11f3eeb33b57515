"""A folder's manifest: what it lists, and what it finds."""

import hashlib
import json
import os

import pytest

from t2v_helpers.model.folders import manifests


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "w.bin").write_bytes(b"12345")
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    manifests.write(tmp_path)
    return tmp_path


def test_manifest_lists_every_file_but_itself_and_hidden_ones(folder):
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert listed["unet/w.bin"] == {"bytes": 5, "sha256": hashlib.sha256(b"12345").hexdigest()}
    assert list(listed) == ["index.json", "unet/w.bin"]
    assert manifests.check(folder) is None


def test_a_manifest_written_again_is_the_same(folder):
    before = (folder / "manifest.json").read_text()
    assert manifests.write(folder).read_text() == before


def test_a_file_cut_short(folder):
    (folder / "unet" / "w.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"w\.bin has 3 bytes.* 5 "):
        manifests.check(folder)


def test_a_file_changed(folder):
    (folder / "unet" / "w.bin").write_bytes(b"12346")
    with pytest.raises(ValueError, match=r"w\.bin .*\w{64}.*\w{64}"):
        manifests.check(folder)


def test_a_file_gone(folder):
    (folder / "unet" / "w.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"w\.bin is missing"):
        manifests.check(folder)


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json does not exist"):
        manifests.check(tmp_path)


def test_a_manifest_that_is_a_pipe_is_named_as_one(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(FileNotFoundError, match=r"manifest\.json is a device or a pipe, and not a file"):
        manifests.check(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"files": 3}', '{"files": {"a": {}}}', '{"files": {"a": 3}}', "\xff", "[" * 200_000],
)
def test_a_manifest_that_is_none(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="is not a manifest"):
        manifests.check(tmp_path)


def test_a_manifest_may_not_name_a_file_outside(folder):
    (folder / "manifest.json").write_text(json.dumps({"files": {"../x": {"bytes": 1, "sha256": "0"}}}))
    with pytest.raises(ValueError, match=r"'\.\./x', which is outside"):
        manifests.check(folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a/" * 600 + "b", "x" * 300])
def test_a_folder_that_cannot_be(tmp_path, name):
    with pytest.raises((ValueError, OSError)) as caught:
        manifests.check(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1 and "[Errno" not in str(caught.value)
