"""How fast a GPU could be at best: FLOPs over its published peak. gpus.json has the peaks, each with its source.

No program reaches a peak: memory, launches and shapes that do not fill the chip take their part. What the quotient
tells is what cannot be: nothing is faster, whatever is tuned, except fewer FLOPs or another precision.
"""

import json
from difflib import get_close_matches

from t2v_helpers.core import paths

PEAKS = paths.PACKAGE / "machine" / "gpus.json"


def load() -> dict:
    """The table as it stands in gpus.json: "precisions", "gpus" (name -> teraflops, source) and "blog" (its rate)."""
    return json.loads(PEAKS.read_text(encoding="utf-8"))


def peak(gpu: str, precision: str) -> float:
    """A GPU's published peak in FLOP/s. ValueError: an unknown GPU, or a precision without a published number."""
    known = load()["gpus"]
    if gpu not in known:
        hint = f"did you mean {meant[0]!r}? " if (meant := get_close_matches(gpu, known, n=1)) else ""
        raise ValueError(f"gpu={gpu!r} is unknown: {hint}there are {', '.join(known)}.")
    peaks = known[gpu]["teraflops"]
    if precision not in peaks:
        raise ValueError(f"precision={precision!r} has no published peak on {gpu}: there are {', '.join(peaks)}.")
    return peaks[precision] * 1e12


def ideal_seconds(flops: float, gpu: str, precision: str = "fp16") -> float:
    """The least time that so many FLOPs can take. ValueError: see `peak`; or no positive number of FLOPs."""
    if not flops > 0:
        raise ValueError(f"flops={flops} is out of range: give a positive number, trace.total.flops say.")
    return flops / peak(gpu, precision)


def ideal(flops: float) -> dict[str, dict[str, float]]:
    """GPU -> precision -> seconds, wherever a peak is published. ValueError: no positive number of FLOPs."""
    return {
        gpu: {precision: ideal_seconds(flops, gpu, precision) for precision in entry["teraflops"]}
        for gpu, entry in load()["gpus"].items()
    }


def table(flops: float, rate: float | None = None) -> str:
    """Lines of GPUs with milliseconds for each precision; with a rate (times a second), its share of each peak too."""
    precisions = load()["precisions"]
    rows = ["".join([f"{'milliseconds':18}", *(f"{precision:>16}" for precision in precisions)])]
    for gpu, seconds in ideal(flops).items():
        rows.append("".join([f"{gpu:18}", *(f"{_cell(seconds.get(p), rate):>16}" for p in precisions)]))
    return "\n".join(rows)


def _cell(seconds: float | None, rate: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.3g}" + (f" ({rate * seconds:.0%})" if rate else "")
