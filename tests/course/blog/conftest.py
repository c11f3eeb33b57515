"""What several tests of the blog share: its six runs made small, and six files like the blog's own."""

import pytest
from blog_clips import SHORT, noise_clips, stamped, write_mp4v

from t2v_helpers.course.blog import published, videos


@pytest.fixture(scope="session")
def six(toy_pipe):
    """The six videos as published."""
    return list(videos.as_published(toy_pipe, SHORT))


@pytest.fixture
def blog_folder(tmp_path):
    """Six files as the blog's: the last one without a mark."""
    folder = tmp_path / "blog"
    folder.mkdir()
    for run, clip in zip(published.RUNS, noise_clips().values(), strict=True):
        write_mp4v(clip if run is published.RUNS[-1] else stamped(clip), folder / run.file)
    return folder
