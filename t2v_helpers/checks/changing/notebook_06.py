"""The checks of notebook 06: what can be replaced without training?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from t2v_helpers.checks.advice import Verdict, is_missing, not_yet, nothing_from, number_advice, right


@dataclass(eq=False)  # a copy is another part
class _Part:
    """A stand-in for a part of a pipeline."""

    name: str

    def __repr__(self) -> str:
        return f"the {self.name} part"


def check_06_1(borrowed: Callable) -> Verdict:
    """`borrowed(pipe, name, part)`: a context manager; the very same old part is back at the end, always."""
    old, new = _Part("old"), _Part("new")
    pipe = SimpleNamespace(vae=old, unet=_Part("own"))
    manager = borrowed(pipe, "vae", new)
    if is_missing(manager):
        return not_yet("borrowed gave back nothing. Keep the old part, put in the new one, `yield pipe`, and put back.")
    if not hasattr(manager, "__enter__"):
        return not_yet(f"borrowed gave a {type(manager).__name__}: is `@contextmanager` above it, and a `yield` in it?")
    if not hasattr(getattr(manager, "gen", iter(())), "__next__"):  # @contextmanager above a plain function
        return not_yet("There is no `yield` in borrowed. Write `yield pipe`, not `return`, where the block shall run.")
    with manager as inside:
        seen = pipe.vae
    if seen is not new:
        return not_yet(f"Inside the `with`, pipe.vae is {seen!r}, where {new!r} is wanted: setattr(pipe, name, part).")
    if inside is not pipe:
        return not_yet(f"`with ... as pipe` gets {inside!r}: yield the pipeline itself.")
    if getattr(pipe.vae, "name", None) == "old" and pipe.vae is not old:
        return not_yet(
            "After the `with` there is a copy of the old part. Put back the very same one: keep it, no copy."
        )
    if pipe.vae is not old:
        return not_yet(
            f"After the `with`, pipe.vae is {pipe.vae!r}. Keep the old one *before* the new one goes in, "
            "and put it back in `finally`, which runs with and without an error."
        )
    return _after_an_error(borrowed, pipe)


def _after_an_error(borrowed: Callable, pipe: SimpleNamespace) -> Verdict:
    own, new = pipe.unet, _Part("new")
    try:
        with borrowed(pipe, "unet", new):
            seen = pipe.unet
            raise KeyError("inside")
    except KeyError:
        if seen is own:
            return not_yet("It works for name 'vae', but not for 'unet': use the name that is given.")
        if pipe.unet is own:
            return right("Whoever stops a cell halfway finds the pipeline as it was.")
        return not_yet("After an error the new part is still there. What stands in `finally` runs in any case.")
    return not_yet("You swallow the error of the block: nobody would learn of it. `try ... finally` lets it through.")


def check_06_2(scaling_factor: Callable) -> Verdict:
    """`scaling_factor(latents)`: the number that brings latents [b c h w] to standard deviation 1."""
    z = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))  # [b c h w]
    z = z * torch.tensor([1.0, 2, 3, 4])[:, None, None] + 1.5  # the channels differ in size
    std = z.std().item()
    mistakes = {
        "That is the standard deviation itself. Latents are *multiplied* by the factor: turn it over.": std,
        "That is one over the variance; one over its root, the standard deviation, is wanted.": 1 / std**2,
        "You took the root of the mean square. The standard deviation is about the mean: take the mean off first.":
            1 / z.square().mean().sqrt().item(),
        "That is one over the mean size |z|. The noise is measured by its standard deviation: so must the latents be.":
            1 / z.abs().mean().item(),
        "You took the mean over channels, of which each has its own. Take one std of all the numbers together.":
            1 / z.std(dim=(0, 2, 3)).mean().item(),
    }  # fmt: skip
    given = scaling_factor(z)
    if isinstance(given, torch.Tensor) and given.shape == z.shape:
        return not_yet("scaling_factor gave the scaled latents. Give the factor alone, one number.")
    if isinstance(given, torch.Tensor) and given.numel() > 1:
        return not_yet(f"scaling_factor gave {given.numel()} numbers; one number for all channels is wanted.")
    given = given.item() if hasattr(given, "item") else given  # a number from torch or numpy
    if not is_missing(given) and not isinstance(given, (int, float)):
        return not_yet(f"scaling_factor gave a {type(given).__name__}; a number is wanted.")
    near = {advice: value for advice, value in mistakes.items() if not is_missing(given) and _near(given, value)}
    if not is_missing(given) and _near(given, 1 / std):
        return right("This one number ties a VAE to a noise schedule. It stands in the VAE's config.")
    return not_yet(number_advice("scaling_factor", given, 1 / std, dict.fromkeys(near, given)))


def _near(a: float, b: float) -> bool:
    """Equal, whether the spread was divided by n or by n - 1."""
    return abs(a - b) <= 1e-3 * abs(b)


def check_06_3(find_order: Callable) -> Verdict:
    """`find_order(z, other)`: the list with other[:, k] = z[:, order[k]], for latents [n c] of the same pictures."""
    order = [2, 0, 3, 1, 5, 4]
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3, 1, 2, 1, 1])  # [n c]
    z = z + torch.arange(6).flip(0)
    sizes = torch.tensor([0.1, 0.5, 0.2, 0.3, 0.4, 0.6])
    other = sizes * z[:, order] + 0.01 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    given = find_order(z, other)
    if is_missing(given):
        return not_yet(nothing_from("find_order"))
    given = given.tolist() if hasattr(given, "tolist") else given  # from torch or numpy
    if advice := _no_order(given):
        return not_yet(advice)
    inverse = [order.index(k) for k in range(6)]
    if list(given) == order:
        return right("No weight was trained: the same pictures, seen by both, are enough.")
    if list(given) == inverse:
        return not_yet("That is the way back: order[k] is the channel of z that became channel k of other.")
    if list(given) == list(range(6)):
        return not_yet("That is the order in which they came: look which channel of z goes with each of other.")
    return not_yet(f"find_order gave {list(given)} where {order} is right: channels that belong together correlate.")


def _no_order(given: object) -> str | None:
    """Advice where `given` does not hold each of the channels 0 to 5 once, else None."""
    if isinstance(given, Sequence) and any(isinstance(row, Sequence) for row in given):
        return "find_order gave the whole matrix. Give for each column the row of its largest number: argmax(dim=0)."
    if isinstance(given, Sequence) and len(given) != 6:
        return (
            f"find_order gave {len(given)} entries for 6 channels. corrcoef compares *rows*, and here the channels are "
            "columns: turn the tensor with .T first."
        )
    if isinstance(given, Sequence) and list(given) == list(range(6, 12)):
        return "Each channel of other found itself. Take only the part that sets z against other: [:c, c:]."
    if not isinstance(given, Sequence) or sorted(given) != list(range(6)):
        return (
            f"find_order gave {given!r}; each of the channels 0 to 5 is wanted once. Compare by correlation: "
            "a VAE may give its channels another size."
        )
    return None
