"""records: what was asked and found survives JSON, whatever the words; wrong fields are named."""

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_helpers.core.records import GenerationRecord, GenerationSpec, frames_hash

SPEC = GenerationSpec("a dog is dancing", guidance=4.0, height=64, width=64)
RECORD = GenerationRecord(SPEC, "cartoon", "float32", "cpu", {"torch": "2"}, 1.5, 100.0, "00" * 32)
ANY_TEXT = st.text(st.characters())  # every code point, lone surrogates among them


@given(prompt=ANY_TEXT, negative=ANY_TEXT, guidance=st.none() | st.floats(allow_nan=False), seed=st.integers(0))
def test_a_spec_survives_its_dict(prompt, negative, guidance, seed):
    spec = GenerationSpec(prompt, negative, seed=seed, guidance=guidance)
    assert GenerationSpec.from_dict(spec.to_dict()) == spec


@given(prompt=ANY_TEXT, model=ANY_TEXT, versions=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3))
def test_a_record_survives_json_as_bytes(prompt, model, versions):
    record = replace(RECORD, spec=replace(SPEC, prompt=prompt), model=model, versions=versions)
    assert GenerationRecord.from_json(record.to_json().encode("ascii").decode()) == record


def test_the_record_stands_beside_the_video(tmp_path):
    (tmp_path / "dog.json").write_text(RECORD.to_json())
    assert GenerationRecord.load(tmp_path / "dog.mp4") == GenerationRecord.load(tmp_path / "dog.json") == RECORD


def test_only_the_prompt_is_required():
    assert GenerationSpec.from_dict({"prompt": "x"}) == GenerationSpec("x")
    with pytest.raises(ValueError, match="GenerationSpec .*prompt"):
        GenerationSpec.from_dict({"seed": 1})


def test_nothing_changes_a_spec():
    with pytest.raises(FrozenInstanceError):
        SPEC.seed = 3


def test_unknown_fields_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="GenerationSpec .*cfg.*prompt, negative_prompt, seed"):
        GenerationSpec.from_dict({"prompt": "x", "cfg": 3})


@pytest.mark.parametrize("kind", [GenerationSpec, GenerationRecord])
def test_many_and_long_unknown_fields_are_told_in_short(kind):
    fields = {"x" * 10_000: 1} | dict.fromkeys(map(str, range(999)), 1)
    read = kind.from_dict if kind is GenerationSpec else lambda fields: kind.from_json(json.dumps(fields))
    with pytest.raises(ValueError, match="and 992 more: it has") as caught:
        read(fields)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("values", [None, [], "prompt"])
def test_a_spec_is_read_from_a_table(values):
    with pytest.raises(ValueError, match="GenerationSpec .*fields"):
        GenerationSpec.from_dict(values)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("prompt", None, "a text"),
        ("prompt", b"x", "a text"),
        ("steps", 2.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("seed", "7", "a whole number"),
        ("guidance", "high", "a number or None"),
        ("height", 64.0, "a whole number or None"),
        ("frames", None, "a whole number"),
    ],
)
def test_wrong_types(field, value, words):
    with pytest.raises(ValueError, match=f"^{field}=.* is a {type(value).__name__}, but {words} is needed"):
        GenerationSpec(**{"prompt": "x", field: value})


def test_a_record_wants_a_resolved_spec():
    with pytest.raises(ValueError, match="guidance, height, width .*None"):
        replace(RECORD, spec=GenerationSpec("x"))


def test_a_record_wants_a_spec():
    with pytest.raises(ValueError, match="^spec.*dict.*GenerationSpec"):
        replace(RECORD, spec=SPEC.to_dict())


@pytest.mark.parametrize("text", ["", "{", "dog.mp4"])
def test_a_record_that_is_not_json(text):
    with pytest.raises(ValueError, match="the record is damaged .*not JSON"):
        GenerationRecord.from_json(text)


def test_a_record_with_a_field_missing():
    values = json.loads(RECORD.to_json())
    del values["seconds"]
    with pytest.raises(ValueError, match="GenerationRecord needs seconds"):
        GenerationRecord.from_json(json.dumps(values))


def test_load_names_the_file(tmp_path):
    (tmp_path / "dog.json").write_text("{")
    with pytest.raises(ValueError, match=r"dog\.json: the record is damaged .*not JSON"):
        GenerationRecord.load(tmp_path / "dog.mp4")
    with pytest.raises(FileNotFoundError, match=r"cat\.json does not exist"):
        GenerationRecord.load(tmp_path / "cat.mp4")


def test_infinite_numbers_are_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(RECORD, seconds=float("inf")).to_json()


def test_frames_hash_sees_pixels_and_shape_but_not_memory_order():
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    changed = frames.copy()
    changed[1, 2, 3, 0] += 1
    hashes = {frames_hash(frames), frames_hash(changed), frames_hash(frames.reshape(4, 2, 4, 3))}
    assert len(hashes) == 3
    assert frames_hash(np.asfortranarray(frames)) == frames_hash(frames)


@pytest.mark.parametrize("frames", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)])
def test_frames_hash_refuses_what_is_no_video(frames):
    with pytest.raises(ValueError, match=r"frames .*uint8 \[f h w 3\]"):
        frames_hash(frames)


@pytest.mark.parametrize("four", [4, np.float32(4), np.float16(4), np.float64(4), np.int64(4)])
def test_the_numbers_of_numpy_are_plain_ones_and_equal_specs_have_equal_json(four):
    spec = GenerationSpec(np.str_("a dog"), seed=np.uint8(4), guidance=four)
    assert json.dumps(spec.to_dict()) == json.dumps(GenerationSpec("a dog", seed=4, guidance=4.0).to_dict())
    assert repr(spec) == repr(GenerationSpec("a dog", seed=4, guidance=4.0))
