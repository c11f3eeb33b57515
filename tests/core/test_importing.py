"""Imports without garbage collection: nothing is collected inside, and all is as it was afterwards."""

import gc
import subprocess
import sys

import pytest

from t2v_helpers.core.importing import quickly


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def before(request):
    was = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was else gc.disable)()


def test_nothing_is_collected_inside_and_all_is_as_it_was_afterwards(before):
    with quickly():
        assert not gc.isenabled()
        with quickly():
            pass
        assert not gc.isenabled()
    assert gc.isenabled() == before


def test_also_after_an_error(before):
    with pytest.raises(ImportError, match="on purpose"), quickly():
        raise ImportError("on purpose")
    assert gc.isenabled() == before


def test_the_libraries_of_a_pipeline_are_imported_so():
    code = """
import gc, sys
late = {"torch._dynamo", "accelerate", "diffusers.models.autoencoders", "diffusers.pipelines.pipeline_utils",
        "transformers.modeling_utils"}
seen = {}
class Watch:
    def find_spec(name, path=None, target=None):
        if name in late:
            seen[name] = gc.isenabled()
sys.meta_path.insert(0, Watch)
from t2v_helpers.model import generate, loading
assert gc.isenabled()
print(len(seen), any(seen.values()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "False"]
