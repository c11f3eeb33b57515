"""packing.js: bytes as text that HTML leaves as it is, a sixth longer; unpack.js: a part, or that it is damaged."""

import gzip

import numpy as np
import pytest

PACKED = "data.map((bytes) => Buffer.from(m.toDigits(Uint8Array.from(bytes))).toString('latin1'))"
SIZES = [0, 1, 2, 3, 4, 5, 6, 7, 12, 1000, 65_537]


def random(size: int) -> list[int]:
    return list(np.random.default_rng(size).bytes(size))


def packed(js, *data: bytes) -> list[str]:
    return js("packing.js", PACKED, [list(one) for one in data])


@pytest.mark.parametrize(
    "kind", [random, lambda size: [255] * size, lambda size: [0] * size], ids=["random", "high", "0"]
)
def test_bytes_come_back_from_a_text_a_sixth_longer(js, kind):
    data = [kind(size) for size in SIZES]
    texts = packed(js, *data)
    assert [len(text) for text in texts] == [size + -(-size // 6) for size in SIZES]
    assert js("packing.js", "data.map((text) => [...m.fromDigits(text)])", texts) == data


def test_html_changes_none_of_its_letters(js):
    letters = set(*packed(js, random(100_000)))
    assert len(letters) == 116 and max(letters) < "\x7f"  # one byte each in UTF-8
    assert not letters & set("\0\t\n\v\f\r<>&")


def test_parted_bytes_are_joined_again(js):
    data = [random(size) for size in SIZES]
    parted = js("packing.js", "data.map((bytes) => [...m.parted(Uint8Array.from(bytes))])", data)
    assert parted == [one[::2] + one[1::2] for one in data]
    assert js("packing.js", "data.map((bytes) => [...m.joined(Uint8Array.from(bytes))])", parted) == data


def test_a_part_is_unpacked_or_said_to_be_damaged(js):
    data = bytes(random(5001))
    text, network = packed(js, gzip.compress(data), gzip.compress(data[::2] + data[1::2]))
    at = len(text) // 2
    other = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    asked = [("runtime", text), ("teacher", network)]
    asked += [("teacher", damaged) for damaged in ("", text[:at], other, text + "A", "half a page")]
    answers = "m.unpack(...one).then((bytes) => [...bytes], (error) => error.message)"
    runtime, teacher, *said = js("unpack.js", f"Promise.all(data.map((one) => {answers}))", asked)
    assert bytes(runtime) == bytes(teacher) == data
    assert len(said) == 5 and all("damaged (in its part “teacher”)" in one for one in said)
