"""What the blog says of the block: how often its operations repeat, and which attentions read the text."""

import re

from torch import nn

KINDS = (  # of the first layer of a level: spatial and temporal convolutions, spatial and temporal attentions
    r"resnets\.0\.conv\d",
    r"temp_convs\.0\.conv\d",
    r"attentions\.0\..*attn\d",
    r"temp_attentions\.0\..*attn\d",
)


def repeats(unet: nn.Module) -> tuple[int, ...]:
    """How often each of KINDS stands in the first layer of the first level of diffusers' UNet."""
    names = [name for name, _ in unet.down_blocks[0].named_modules()]
    return tuple(sum(bool(re.fullmatch(kind, name)) for name in names) for kind in KINDS)


def widths(unet: nn.Module) -> dict[str, list[tuple[int, int]]]:
    """ "spatial" and "temporal" -> of both attentions of that layer the widths of (what asks, what is asked).

    Where the two differ, the keys come from elsewhere: from the text.
    """
    level = unet.down_blocks[0]
    layers = {"spatial": level.attentions[0], "temporal": level.temp_attentions[0]}
    blocks = {name: layer.transformer_blocks[0] for name, layer in layers.items()}
    return {
        name: [(attn.to_q.in_features, attn.to_k.in_features) for attn in (block.attn1, block.attn2)]
        for name, block in blocks.items()
    }
