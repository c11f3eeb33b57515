"""packing.js: bytes as text that HTML leaves as it is; unpack.js: a part, or that it is damaged."""

import gzip

import numpy as np
import pytest

SIZES = [0, 1, 2, 3, 1000, 65_537]
LEFT_OUT = {0, 13, 60, *range(0xD800, 0xE000)}  # NUL, carriage return, "<", halves of a letter


def random(size: int) -> list[int]:
    return list(np.random.default_rng(size).bytes(size))


def packed(js, *data: bytes) -> list[str]:
    return js("packing.js", "data.map((bytes) => m.toText(Uint8Array.from(bytes)))", [list(one) for one in data])


def every_pair() -> list[int]:
    return list(np.arange(2**16, dtype="<u2").tobytes())


@pytest.mark.parametrize(
    "kind", [random, lambda size: [255] * size, lambda size: [0] * size], ids=["random", "high", "0"]
)
def test_bytes_come_back(js, kind):
    data = [kind(size) for size in SIZES]
    assert js("packing.js", "data.map((text) => [...m.fromText(text)])", packed(js, *data)) == data


def test_html_changes_none_of_its_letters_and_the_text_is_3_percent_longer_than_the_bytes(js):
    (text,) = packed(js, every_pair())
    assert not LEFT_OUT & set(map(ord, text)) and max(text) < "\U00010000"
    assert bytes(js("packing.js", "[...m.fromText(data)]", text)) == bytes(every_pair())
    assert 1.03 < len(text.encode("utf-16-le")) / 2**17 < 1.035


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
