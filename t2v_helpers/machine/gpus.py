"""The published peak speed of known GPUs (gpus.json, each with its source), and the least time that it allows.

No program reaches a peak: memory, kernel launches and shapes that do not fill the chip cost time. FLOPs over the peak
is a lower bound, which only fewer FLOPs or another precision can beat.
"""

from t2v_helpers.core import checking, files, paths

PEAKS = paths.PACKAGE / "machine" / "gpus.json"


def load() -> dict:
    """The contents of gpus.json: "precisions", "gpus" (name -> teraflops, source) and "blog" (its rate)."""
    return files.read_json(PEAKS)


def peak(gpu: str, precision: str) -> float:
    """A GPU's published peak in FLOP/s. ValueError: an unknown GPU, or a precision without a published number."""
    known = load()["gpus"]
    peaks = known[checking.one_of("gpu", gpu, known)]["teraflops"]
    published = f"The published peaks of {gpu} are for: {', '.join(peaks)}."
    return peaks[checking.one_of("precision", precision, peaks, published)] * 1e12


def ideal_seconds(flops: float, gpu: str, precision: str = "fp16") -> float:
    """The least time that this many FLOPs can take. ValueError: flops not above 0; those of `peak`."""
    if not flops > 0:
        raise ValueError(f"flops={flops} is not allowed: use a number above 0, such as trace.total.flops.")
    return flops / peak(gpu, precision)


def ideal(flops: float) -> dict[str, dict[str, float]]:
    """GPU -> precision -> seconds, wherever a peak is published. ValueError: flops not above 0."""
    return {
        gpu: {precision: ideal_seconds(flops, gpu, precision) for precision in entry["teraflops"]}
        for gpu, entry in load()["gpus"].items()
    }


def table(flops: float) -> str:
    """A line for each GPU: milliseconds by precision."""
    precisions = load()["precisions"]
    rows = ["".join([f"{'milliseconds':18}", *(f"{precision:>16}" for precision in precisions)])]
    for gpu, seconds in ideal(flops).items():
        cells = (f"{1000 * seconds[p]:.3g}" if p in seconds else "-" for p in precisions)
        rows.append("".join([f"{gpu:18}", *(f"{cell:>16}" for cell in cells)]))
    return "\n".join(rows)
