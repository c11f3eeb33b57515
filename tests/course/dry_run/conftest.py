"""The toy of the dry run: its shapes, its random weights, and one whole run."""

import shutil
from pathlib import Path

import pytest

from t2v_helpers.course.dry_run import command, folder
from t2v_helpers.model import folders, hub

HUB_TEXTS = ("model_index", "scheduler", "special_tokens_map", "tokenizer_config")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory, hub_folder) -> Path:
    """A folder like t2v_helpers/modelscope, with the configs of the toy."""
    made = tmp_path_factory.mktemp("shapes")
    for part in folders.PARTS:
        shutil.copy(hub_folder / part / "config.json", made / f"{part}.json")
    for name in HUB_TEXTS:
        shutil.copy(hub.MODELSCOPE_SHAPES / f"{name}.json", made)
    return made


@pytest.fixture(scope="session")
def whole(tmp_path_factory, shapes) -> folder.Cache:
    """Random weights of the toy, in both variants."""
    made = folder.Cache(tmp_path_factory.mktemp("whole") / "dry_run", shapes)
    folder.prepare(made, [None, "fp16"])
    return made


@pytest.fixture
def cache(tmp_path, shapes) -> folder.Cache:
    """Where nothing was written yet."""
    return folder.Cache(tmp_path / "dry_run", shapes)


@pytest.fixture(scope="session")
def ran(whole) -> dict:
    """The whole run at toy size. Each stage has a Python of its own: in this one, memory is anybody's."""
    return command.run(whole, "float32", frames=2, pixels=64)
