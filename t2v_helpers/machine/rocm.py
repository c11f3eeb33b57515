"""What to set on an AMD GPU, and why: each setting with what it is now, what it should be, the reason and its source.

Plain functions of what was read (probe.TorchFacts and the environment's variables). Whether a setting pays on a GPU
is for that GPU to show: `t2v info` says what others have reported, and where.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from t2v_helpers.machine.probe import TorchFacts

INSTINCT = ("gfx908", "gfx90a", "gfx942", "gfx950")  # MI100; MI210, MI250; MI300; MI350
EXPANDABLE = "expandable_segments:True"
EXPANDS_FROM = (2, 11)  # the first torch whose allocator does so on ROCm


@dataclass(frozen=True)
class Setting:
    """A setting on this machine; `now` is "" where it is not set, and `wanted` where it should stay so."""

    name: str
    now: str
    wanted: str
    fits: bool
    why: str
    source: str

    def __str__(self) -> str:
        """What it is and what it should be, and below that why and who says so."""
        now = f"is {self.now}" if self.now else "is not set"
        wanted = "as it should be" if self.fits else f"should {f'be {self.wanted}' if self.wanted else 'not be set'}"
        why = textwrap.fill(f"{self.why} ({self.source})", 110, initial_indent="   ", subsequent_indent="   ")
        return f"{self.name} {now}, {wanted}\n{why}"


@dataclass(frozen=True)
class _Rule:
    names: tuple[str, ...]  # any of them will do
    wanted: str
    fits: Callable[[str], bool]
    applies: Callable[[TorchFacts], bool]
    why: str
    source: str


def family(gfx: str) -> str:
    """ "Instinct", "Radeon" or "unknown", from the name of an AMD GPU's architecture: gfx942, gfx1100."""
    if gfx in INSTINCT:
        return "Instinct"
    return "Radeon" if gfx.startswith(("gfx10", "gfx11", "gfx12")) and len(gfx) == 7 else "unknown"


def settings(found: TorchFacts, environ: Mapping[str, str]) -> list[Setting]:
    """What matters on this GPU; nothing where torch sees no AMD GPU. What an unknown one may need is told, too."""
    if not found.build.startswith("ROCm") or not found.count:
        return []
    return [_judge(rule, environ) for rule in _RULES if rule.applies(found)]


def text(settings: list[Setting]) -> str:
    """The settings as lines, those that do not fit first."""
    return "\n".join(str(setting) for setting in sorted(settings, key=lambda setting: setting.fits))


def explain(error: str, gfx: str) -> str:
    """What to do after an error of the GPU that says little itself; "" for any other error."""
    for words, advice in _ADVICE.items():
        if any(word in error for word in words):
            return advice.format(gfx=gfx or "this GPU")
    return ""


def _judge(rule: _Rule, environ: Mapping[str, str]) -> Setting:
    name = next((name for name in rule.names if environ.get(name)), rule.names[0])
    now = environ.get(name, "")
    return Setting(name, now, rule.wanted, rule.fits(now), rule.why, rule.source)


def _release(version: str) -> tuple[int, ...]:
    """ "2.11.0+rocm7.2" -> (2, 11)"""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _expands(now: str) -> bool:
    return EXPANDABLE in now and "max_split_size_mb" not in now


_RULES = (
    _Rule(
        ("MIOPEN_FIND_MODE",), "FAST", lambda now: now.upper() in ("FAST", "2"), lambda found: True,
        "Before the first run of each convolution, MIOpen searches for a kernel: a long silence. FAST does not search. "
        "NORMAL searches longest, and may find a faster kernel: for long runs, time both.",
        "MIOpen, environment variables; ROCm/rocm-libraries#2218",
    ),
    _Rule(
        ("MIOPEN_USER_DB_PATH",), "a folder that is kept", bool, lambda found: True,
        "What MIOpen found is written there. In a container it is lost, and searched again, unless the folder is kept; "
        "MIOPEN_CUSTOM_CACHE_DIR does the same for its compiled kernels.",
        "MIOpen, environment variables",
    ),
    _Rule(
        ("PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"), EXPANDABLE, _expands,
        lambda found: _release(found.version) >= EXPANDS_FROM,
        "Blocks of memory may grow, so that fewer gaps are left over; together with max_split_size_mb it fails.",
        "pytorch/pytorch#173330, #177974, #123548",
    ),
    _Rule(
        ("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL",), "1", lambda now: now == "1",
        lambda found: family(found.gfx) != "Instinct",
        "On some Radeon GPUs attention has fast kernels only with it. Without, all scores are kept in memory, and "
        "nothing says so: see the attention below.",
        "unslothai/unsloth#8821, #10415",
    ),
    _Rule(
        ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",), "1", lambda now: now == "1", lambda found: found.gfx == "gfx942",
        "Only for dtype float32: matrix products of MI300 are faster with numbers rounded to 10 bits after the point "
        "(torch.backends.cuda.matmul.allow_tf32). Leave it out to compare numbers with another machine.",
        "PyTorch, notes on HIP",
    ),
    _Rule(
        ("HSA_OVERRIDE_GFX_VERSION",), "", lambda now: not now, lambda found: family(found.gfx) == "Instinct",
        "It makes a GPU pass for another one; an Instinct needs no such name, and may get kernels that do not fit it.",
        "AMD's notebooks, where it is commented out",
    ),
)  # fmt: skip
_ADVICE = {
    ("no kernel image", "invalid device function", "rocBLAS error: Cannot read"): (
        "this torch has no kernels for {gfx}: install one that is built for it, as environment.yml says"
    ),
    ("out of memory",): "close other programs that use the GPU, or see `t2v generate --memory`",
    ("miopenStatus", "MIOpen"): (
        "a convolution failed in MIOpen: delete its cache (~/.cache/miopen, ~/.config/miopen), and try again"
    ),
}
