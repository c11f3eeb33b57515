"""Which environment variables to set on an AMD GPU, with reason and source; and advice on ROCm's terse errors.

Both are tables in rocm.json. The settings follow what others have reported: measure whether one helps on your GPU.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from t2v_helpers.core import files, paths
from t2v_helpers.machine.probe import TorchFacts

TABLES = files.read_json(paths.PACKAGE / "machine" / "rocm.json")


@dataclass(frozen=True)
class Setting:
    """An environment variable: its value now ("": not set), the one wanted ("": leave it unset), and why."""

    name: str
    now: str
    wanted: str
    fits: bool
    why: str
    source: str

    def __str__(self) -> str:
        now = f"is {self.now}" if self.now else "is not set"
        wanted = "as it should be" if self.fits else f"should {f'be {self.wanted}' if self.wanted else 'not be set'}"
        why = textwrap.fill(f"{self.why} ({self.source})", 110, initial_indent="   ", subsequent_indent="   ")
        return f"{self.name} {now}, {wanted}\n{why}"


def settings(found: TorchFacts, environ: Mapping[str, str]) -> list[Setting]:
    """The settings that matter on this GPU, or might on an unknown one; none where torch sees no AMD GPU."""
    if not found.build.startswith("ROCm") or not found.count:
        return []
    release = [int(number) for number in re.findall(r"\d+", found.version)[:2]]  # of "2.11.0+rocm7.2"
    judged = []
    for rule in TABLES["settings"]:
        if re.fullmatch(rule["gfx"], found.gfx) and release >= rule["from_torch"]:
            name = next((name for name in rule["names"] if environ.get(name)), rule["names"][0])
            now = environ.get(name, "")
            fits = bool(re.fullmatch(rule["fits"], now, re.IGNORECASE))
            judged.append(Setting(name, now, rule["wanted"], fits, rule["why"], rule["source"]))
    return judged


def text(settings: list[Setting]) -> str:
    """The settings as lines, those to change first."""
    return "\n".join(str(setting) for setting in sorted(settings, key=lambda setting: setting.fits))


def explain(error: str, gfx: str) -> str:
    """Turn a missing-kernel, memory or MIOpen error into advice; "" for any other error."""
    says = (known["say"] for known in TABLES["advice"] if any(words in error for words in known["errors"]))
    return next(says, "").format(gfx=gfx or "this GPU")
