"""How sure a measured share is."""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Share:
    """k of n, and the 95 % interval of the true share."""

    k: int
    n: int

    def __post_init__(self):
        if not 0 <= self.k <= self.n or self.n < 1:
            raise ValueError(f"a share needs 0 <= k <= n and n >= 1, not k = {self.k} and n = {self.n}.")

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.k, self.n)

    def to_dict(self) -> dict:
        """k, n, share and interval, ready for JSON."""
        return {"k": self.k, "n": self.n, "share": self.share, "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{f'{self.k}/{self.n}':>11} {100 * self.share:8.1f} % {100 * low:8.1f} - {100 * high:5.1f} %"


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share after k of n, 95 % by default. Wilson (1927), JASA 22, p. 209: centre -+ half."""
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
