"""The checks of notebook 06: what can be replaced without training?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from t2v_helpers.checks.advice import Advice, fitting, is_missing, noises, nothing_from, number_advice, plain


@dataclass(eq=False)  # a copy is another part
class _Part:
    """A stand-in for a part of a pipeline."""

    name: str

    def __repr__(self) -> str:
        return f"the {self.name} part"


def check_06_1(borrowed: Callable) -> Advice:
    """`borrowed(pipe, name, part)`: a context manager; the very same old part is back at the end, always."""
    old, new = _Part("old"), _Part("new")
    pipe = SimpleNamespace(vae=old, unet=_Part("own"))
    manager = borrowed(pipe, "vae", new)
    if is_missing(manager):
        yield "borrowed gave back nothing. Keep the old part, put in the new one, `yield pipe`, and put back."
    if not hasattr(manager, "__enter__"):
        yield f"borrowed gave a {type(manager).__name__}: is `@contextmanager` above it, and a `yield` in it?"
    if not hasattr(getattr(manager, "gen", iter(())), "__next__"):  # @contextmanager above a plain function
        yield "There is no `yield` in borrowed. Write `yield pipe`, not `return`, where the block shall run."
    with manager as inside:
        seen = pipe.vae
    if seen is not new:
        yield f"Inside the `with`, pipe.vae is {seen!r}, where {new!r} is wanted: setattr(pipe, name, part)."
    if inside is not pipe:
        yield f"`with ... as pipe` gets {inside!r}: yield the pipeline itself."
    if getattr(pipe.vae, "name", None) == "old" and pipe.vae is not old:
        yield "After the `with` there is a copy of the old part. Put back the very same one: keep it, no copy."
    if pipe.vae is not old:
        yield (
            f"After the `with`, pipe.vae is {pipe.vae!r}. Keep the old one *before* the new one goes in, "
            "and put it back in `finally`, which runs with and without an error."
        )
    yield _error_advice(borrowed, pipe)
    return "Whoever stops a cell halfway finds the pipeline as it was."


def _error_advice(borrowed: Callable, pipe: SimpleNamespace) -> str | None:
    """None where an error of the block goes on, and the part is put back all the same."""
    own, new = pipe.unet, _Part("new")
    try:
        with borrowed(pipe, "unet", new):
            seen = pipe.unet
            raise KeyError("inside")
    except KeyError:
        if seen is own:
            return "It works for name 'vae', but not for 'unet': use the name that is given."
        if pipe.unet is own:
            return None
        return "After an error the new part is still there. What stands in `finally` runs in any case."
    return "You swallow the error of the block: nobody would learn of it. `try ... finally` lets it through."


def check_06_2(scaling_factor: Callable) -> Advice:
    """`scaling_factor(latents)`: the number that brings latents [b c h w] to standard deviation 1."""
    (z,) = noises((64, 4, 8, 8))  # [b c h w]
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
        yield "scaling_factor gave the scaled latents. Give the factor alone, one number."
    if isinstance(given, torch.Tensor) and given.numel() > 1:
        yield f"scaling_factor gave {given.numel()} numbers; one number for all channels is wanted."
    # the tolerance: equal, whether the spread was divided by n or by n - 1
    yield number_advice("scaling_factor", plain(given), 1 / std, mistakes, rtol=1e-3)
    return "This one number ties a VAE to a noise schedule. It stands in the VAE's config."


def check_06_3(find_order: Callable) -> Advice:
    """`find_order(z, other)`: the list with other[:, k] = z[:, order[k]], for latents [n c] of the same pictures."""
    order = [2, 0, 3, 1, 5, 4]
    (z,), (noise,) = noises((200, 6)), noises((200, 6), seed=1)
    z = z * torch.tensor([1.0, 3, 1, 2, 1, 1]) + torch.arange(6).flip(0)  # [n c]
    sizes = torch.tensor([0.1, 0.5, 0.2, 0.3, 0.4, 0.6])
    given = plain(find_order(z, sizes * z[:, order] + 0.01 * noise))
    yield nothing_from("find_order", given)
    yield _no_order(given)
    mistakes = {
        "That is the way back: order[k] is the channel of z that became channel k of other.":
            [order.index(k) for k in range(6)],
        "That is the order in which they came: look which channel of z goes with each of other.": list(range(6)),
    }  # fmt: skip
    otherwise = f"find_order gave {list(given)} where {order} is right: channels that belong together correlate."
    yield None if list(given) == order else fitting(given, mistakes, otherwise)
    return "No weight was trained: the same pictures, seen by both, are enough."


def _no_order(given: object) -> str | None:
    """Advice where `given` does not hold each of the channels 0 to 5 once, else None."""
    otherwise = (
        f"find_order gave {given!r}; each of the channels 0 to 5 is wanted once. Compare by correlation: "
        "a VAE may give its channels another size."
    )
    if not isinstance(given, Sequence):
        return otherwise
    if any(isinstance(row, Sequence) for row in given):
        return "find_order gave the whole matrix. Give for each column the row of its largest number: argmax(dim=0)."
    if len(given) != 6:
        return (
            f"find_order gave {len(given)} entries for 6 channels. corrcoef compares *rows*, and here the channels are "
            "columns: turn the tensor with .T first."
        )
    if list(given) == list(range(6, 12)):
        return "Each channel of other found itself. Take only the part that sets z against other: [:c, c:]."
    return None if sorted(given) == list(range(6)) else otherwise
