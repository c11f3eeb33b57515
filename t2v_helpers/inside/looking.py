"""Look into a running layer: what its parts take and return, and which positions reach which.

with looking.watched(block, ["resnets.0", "attentions.0"]) as seen: unet(x_t, t, text)
looking.changed(looking.reads(block, text)["temporal attention"], x)    # bool [f h w]
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from t2v_helpers.core.layout import fold_frames, unfold_frames

Read = Callable[[Tensor], Tensor]  # [f c h w] -> [f c h w]
NUDGE = 3.0  # added to all channels of one position
LEAST = 1e-4  # of the largest change: a smaller one is rounding


@contextmanager
def watched(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Within this context, keep the first input and the output of each named part of a module: name -> both.

    AttributeError: the module has no such part.
    """
    seen, parts = {}, {name: module.get_submodule(name) for name in names}

    def keep(name: str) -> Callable:
        def hook(part: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
            seen[name] = inputs[0], output if isinstance(output, Tensor) else output[0]

        return hook

    with ExitStack() as hooks:
        for name, part in parts.items():
            hooks.callback(part.register_forward_hook(keep(name)).remove)
        yield seen


def reads(block: nn.Module, text: Tensor) -> dict[str, Read]:
    """The five kinds of layers in a block of diffusers' UNet, without norms, each for the frames of one video.

    text: [1 t d]. A norm averages over a whole picture or video, and so passes a little of everything to everybody.
    """
    resnet, conv = block.resnets[0], block.temp_convs[0]
    space, time = (part[0].transformer_blocks[0] for part in (block.attentions, block.temp_attentions))
    return {
        "2 spatial convolutions": lambda x: resnet.conv2(resnet.conv1(x)),
        "4 temporal convolutions": lambda x: _along_time(x, conv),
        "spatial self-attention": lambda x: _in_pictures(x, space.attn1),
        "cross-attention": lambda x: _in_pictures(x, space.attn2, text.expand(len(x), -1, -1)),
        "temporal attention": lambda x: _in_sequences(x, time.attn1),
    }


def changed(read: Read, x: Tensor) -> Tensor:
    """Where the output changes when the middle pixel of the middle frame of x [f c h w] does: bool [f h w]."""
    f, _, h, w = x.shape
    nudged = x.clone()
    nudged[f // 2, :, h // 2, w // 2] += NUDGE
    change = (read(nudged) - read(x)).abs().amax(1).float().cpu()  # [f h w]
    return change > LEAST * change.max()


def _along_time(x: Tensor, part: nn.Module) -> Tensor:
    y = unfold_frames(x, 1)  # [1 c f h w]
    for step in (part.conv1, part.conv2, part.conv3, part.conv4):
        y = step[-1](y)
    return fold_frames(y)


def _in_pictures(x: Tensor, attention: nn.Module, text: Tensor | None = None) -> Tensor:
    """Attention over the pixels of each frame."""
    return attention(x.flatten(2).mT, text).mT.unflatten(2, x.shape[2:])


def _in_sequences(x: Tensor, attention: nn.Module) -> Tensor:
    """Attention over the frames of each pixel."""
    y = attention(x.flatten(2).permute(2, 0, 1))  # [(h w) f c]
    return y.permute(1, 2, 0).unflatten(2, x.shape[2:])
