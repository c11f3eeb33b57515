"""Which environment variables to set on an AMD GPU, with reason and source; and advice on ROCm's terse errors.

Plain functions of probe.TorchFacts and the environment. The settings follow what others have reported; whether one
helps on a given GPU has to be measured there.
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
    """An environment variable: its value now ("": not set), the one wanted ("": leave it unset), and why."""

    name: str
    now: str
    wanted: str
    fits: bool
    why: str
    source: str

    def __str__(self) -> str:
        """Its value and the one wanted; below that the reason and its source."""
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
    """ "Instinct", "Radeon" or "unknown", from an AMD GPU's architecture: gfx942, gfx1100."""
    if gfx in INSTINCT:
        return "Instinct"
    return "Radeon" if gfx.startswith(("gfx10", "gfx11", "gfx12")) and len(gfx) == 7 else "unknown"


def settings(found: TorchFacts, environ: Mapping[str, str]) -> list[Setting]:
    """The settings that matter on this GPU, or might on an unknown one; none where torch sees no AMD GPU."""
    if not found.build.startswith("ROCm") or not found.count:
        return []
    return [_judge(rule, environ) for rule in _RULES if rule.applies(found)]


def text(settings: list[Setting]) -> str:
    """The settings as lines, those to change first."""
    return "\n".join(str(setting) for setting in sorted(settings, key=lambda setting: setting.fits))


def explain(error: str, gfx: str) -> str:
    """Turn a missing-kernel, memory or MIOpen error into advice; "" for any other error."""
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
        "MIOpen searches for a kernel before the first run of each convolution, which takes long. FAST skips it. "
        "NORMAL searches longest, and may find a faster kernel: for long runs, time both.",
        "MIOpen, environment variables; ROCm/rocm-libraries#2218",
    ),
    _Rule(
        ("MIOPEN_USER_DB_PATH",), "a folder that is kept", bool, lambda found: True,
        "MIOpen stores the kernels it found there. In a container they are lost unless the folder is mounted; "
        "MIOPEN_CUSTOM_CACHE_DIR does the same for its compiled kernels.",
        "MIOpen, environment variables",
    ),
    _Rule(
        ("PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"), EXPANDABLE, _expands,
        lambda found: _release(found.version) >= EXPANDS_FROM,
        "Blocks of memory can grow, which leaves fewer gaps; it fails together with max_split_size_mb.",
        "pytorch/pytorch#173330, #177974, #123548",
    ),
    _Rule(
        ("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL",), "1", lambda now: now == "1",
        lambda found: family(found.gfx) != "Instinct",
        "Some Radeon GPUs have fast attention kernels only with it. Without it all scores are silently kept in "
        "memory: see the attention below.",
        "unslothai/unsloth#8821, #10415",
    ),
    _Rule(
        ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",), "1", lambda now: now == "1", lambda found: found.gfx == "gfx942",
        "Only for dtype float32: matrix products on MI300 are faster with a mantissa of 10 bits "
        "(torch.backends.cuda.matmul.allow_tf32). Leave it out to compare numbers with another machine.",
        "PyTorch, notes on HIP",
    ),
    _Rule(
        ("HSA_OVERRIDE_GFX_VERSION",), "", lambda now: not now, lambda found: family(found.gfx) == "Instinct",
        "It makes a GPU pass for another; an Instinct does not need it, and may get kernels that do not run on it.",
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
