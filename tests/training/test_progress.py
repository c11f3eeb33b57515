"""The logs of a training: each step once, and a line that is damaged costs no other."""

import json

import pytest

from t2v_helpers.training import progress


def logged(folder, text):
    (folder / "unet").mkdir(exist_ok=True)
    (folder / "unet" / "log.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(progress.logged(folder, ["latents", "unet"]))


def test_a_repeated_step_is_logged_once(tmp_path):
    lines = [{"step": 200, "loss": 1.0}, {"step": 300, "loss": 2.0}, {"step": 300, "loss": 0.123456789}]
    found = logged(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    assert found == [lines[0], {"step": 300, "loss": 0.12346}]


@pytest.mark.parametrize("line", [
    '{"step": 2{"step": 200}', '{"st', "[" * 200_000, '{"a":' * 200 + "1" + "}" * 200, "[1]", "3", "null", '"a text"',
    "{}", '{"step": null}', '{"step": [1]}', '{"step": {}}', '{"step": "2"}', '{"step": true}', '{"step": -1}',
    '{"step": 1.5}', '{"step": 2, "loss": NaN}', '{"step": 2, "loss": 1e999}', '{"step": ' + "9" * 5000 + "}",
    b'{"step": 2, "loss": "\xff', b"\xff\xfe", "\0",
])  # fmt: skip
def test_a_line_that_is_damaged_costs_no_other(tmp_path, line):
    line = line if isinstance(line, bytes) else line.encode()
    found = logged(tmp_path, b'{"step": 100}\n' + line + b'\n{"step": 300}\n' + line)
    assert [line["step"] for line in found] == [100, 300]
