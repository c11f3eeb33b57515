"""The blog's own files: named, fetched, and searched for a watermark."""

import pytest
from blog_clips import noise_clips

from t2v_helpers.course.blog import originals


def test_bad_folders_are_refused(tmp_path, blog_folder):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: set T2V_BLOG_VIDEOS"):
        originals.given_folder(str(tmp_path / "nowhere"), "unused")
    with pytest.raises(NotADirectoryError, match=r"example\.mp4 is a file: set T2V_BLOG_VIDEOS"):
        originals.given_folder(str(blog_folder / "example.mp4"), "unused")
    (blog_folder / "example2.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"blog lacks example2\.mp4: the blog's files are at https"):
        originals.given_folder(str(blog_folder), "unused")


def test_files_are_fetched_once_and_only_videos_are_kept(blog_folder, tmp_path):
    here = tmp_path / "here"
    assert originals.fetch(here, blog_folder.as_uri()) == here == originals.given_folder(str(here), "unused")
    (blog_folder / "example.mp4").write_bytes(b"changed meanwhile")
    assert originals.fetch(here, blog_folder.as_uri()) == here, "what is there is not fetched again"
    with pytest.raises(ValueError, match="0 of 0 frames"):
        originals.fetch(tmp_path / "other", blog_folder.as_uri())
    assert not any((tmp_path / "other").iterdir())


def test_without_a_network_fetching_says_what_to_do(tmp_path):
    with pytest.raises(ConnectionError, match=r"example\.mp4 could not be downloaded"):
        originals.fetch(tmp_path / "here", (tmp_path / "nothing").as_uri())


def test_a_clip_needs_clips_of_other_prompts_to_be_searched_for_marks():
    clips = noise_clips(2)
    with pytest.raises(ValueError, match="others holds 0 clips"):
        originals.marks(clips, dict.fromkeys(clips, "one prompt"))


@pytest.mark.parametrize("prompts", [None, {}, {"0": "a dog"}])
def test_a_clip_needs_its_prompt_to_be_searched_for_marks(prompts):
    clips = dict(zip("01", noise_clips(2).values(), strict=True))
    with pytest.raises(ValueError, match="prompts lacks .*1: give the prompt of each clip"):
        originals.marks(clips, prompts)
