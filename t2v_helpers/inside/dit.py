"""A diffusion transformer: the latents are cut into patches of space and time, and all patches read one another.

    dit = DiT(Config())
    eps = dit(x_t, 500, encoder_hidden_states=text).sample      # in the place of a UNet: pipe.using(unet=dit)

Peebles & Xie 2022, arXiv 2212.09748, with a third axis: no convolution, no skips, one width from end to end. Attention
says what belongs together, so every patch is told its frame, row and column; a UNet's layers along time are not. Words
come in by cross-attention, as in PixArt-alpha (Chen et al. 2023, arXiv 2310.00426) and Wan.

Letters: b batch, c channels, f frames, h height, w width, n patches, d the width, t tokens of text, (p q r) the frames,
rows and columns of a patch.
"""

from dataclasses import asdict, dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import checking
from t2v_helpers.inside.unet import Attention, FeedForward, Output, sinusoidal

Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class Config:
    """What decides the shapes. patch: (p q r); most_frames: how many have a number. ValueError: sizes that do not fit.

    sample_size, in_channels and cross_attention_dim are those of a UNet3DConditionModel.
    """

    in_channels: int = 16
    cross_attention_dim: int = 128
    sample_size: int = 8
    width: int = 192
    depth: int = 4
    heads: int = 6
    patch: Sizes = (1, 2, 2)
    most_frames: int = 32

    def __post_init__(self):
        for name, value in asdict(self).items():
            for size in value if name == "patch" else [value]:
                checking.whole(name, size)
        if len(self.patch) != 3:
            raise ValueError(f"patch={self.patch} is not allowed: use frames, rows and columns, such as (1, 2, 2).")
        if self.width % 6 or self.width % self.heads:
            raise ValueError(f"width={self.width} is not allowed: use a multiple of 6 and of {self.heads} heads.")

    @property
    def attention_head_dim(self) -> int:
        """Channels of a head."""
        return self.width // self.heads

    @property
    def block_out_channels(self) -> tuple[int, ...]:
        """As many entries as a UNet has whose height and width must be multiples of a patch's sides."""
        return (self.width,) * max(self.patch[1:]).bit_length()


def cut(x: Tensor, patch: Sizes) -> Tensor:
    """Latents [b c f h w] in patches [b n (c p q r)], frame by frame and row by row."""
    f, h, w = (size // side for size, side in zip(x.shape[2:], patch, strict=True))
    (p, q, r), c = patch, x.shape[1]
    x = x.reshape(-1, c, f, p, h, q, w, r).permute(0, 2, 4, 6, 1, 3, 5, 7)  # [b f h w c p q r]
    return x.reshape(len(x), f * h * w, c * p * q * r)  # [b n (c p q r)]


def join(patches: Tensor, shape: torch.Size, patch: Sizes) -> Tensor:
    """Patches [b n (c p q r)] as latents of a shape [b c f h w] again."""
    f, h, w = (size // side for size, side in zip(shape[2:], patch, strict=True))
    x = patches.reshape(-1, f, h, w, shape[1], *patch).permute(0, 4, 1, 5, 2, 6, 3, 7)  # [b c f p h q w r]
    return x.reshape(shape)  # [b c f h w]


def places(sizes: Sizes, width: int) -> Tensor:
    """Where each patch is: the sinusoids of its frame, of its row and of its column, a third of d each: [n d].

    Vaswani et al. 2017, arXiv 1706.03762, section 3.5, once for each axis.
    """
    where = torch.cartesian_prod(*map(torch.arange, sizes))  # [n 3]
    return sinusoidal(where.flatten(), width // 3).reshape(len(where), width)  # [n d]


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift: x [b n d], shift and scale [b 1 d]."""
    return x * (1 + scale) + shift


class Block(nn.Module):
    """x += g_1 attn1(m_1 norm x), x += attn2(norm x, text), x += g_2 ff(m_2 norm x); g and m follow from the time.

    adaLN-Zero (Peebles & Xie, section 3.2): gates g start at zero, and so does attn2, so that an untrained block passes
    x on. m is `modulated`. The six vectors are those of all blocks, and a table of this block's own is added
    (PixArt-alpha, section 2.3; so do LTX-Video and Wan).
    """

    def __init__(self, config: Config):
        super().__init__()
        d = config.width
        self.norm1, self.norm3 = (nn.LayerNorm(d, elementwise_affine=False) for _ in range(2))
        self.norm2 = nn.LayerNorm(d)
        self.attn1 = Attention(d, config.heads)
        self.attn2 = Attention(d, config.heads, config.cross_attention_dim)
        self.ff = FeedForward(d)
        self.table = nn.Parameter(torch.zeros(6, d))
        zero(self.attn2.to_out[0])

    def forward(self, x: Tensor, six: Tensor, text: Tensor) -> Tensor:
        """x [b n d], six vectors of the time [b 6 d], text [b t e] -> [b n d]."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (six + self.table).chunk(6, dim=1)  # each [b 1 d]
        x = x + gate_1 * self.attn1(modulated(self.norm1(x), shift_1, scale_1))
        x = x + self.attn2(self.norm2(x), text)
        return x + gate_2 * self.ff(modulated(self.norm3(x), shift_2, scale_2))


class DiT(nn.Module):
    """eps = dit(x_t, t, text): patches in, blocks, patches out. An untrained one answers zero."""

    dtype = property(lambda self: self.patch_embed.weight.dtype, doc="The type of the weights.")
    device = property(lambda self: self.patch_embed.weight.device, doc="Where the weights are.")

    def __init__(self, config: Config | None = None):
        super().__init__()
        self.config = c = config or Config()
        self.patch = c.patch
        numbers = c.in_channels * prod(c.patch)  # of a patch
        self.patch_embed = nn.Linear(numbers, c.width)
        self.time_embedding = nn.Sequential(nn.Linear(c.width, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        self.modulation = zero(nn.Linear(c.width, 6 * c.width))
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.depth))
        self.norm_out = nn.LayerNorm(c.width, elementwise_affine=False)
        self.modulation_out = zero(nn.Linear(c.width, 2 * c.width))
        self.proj_out = zero(nn.Linear(c.width, numbers))

    def forward(self, sample: Tensor, timestep, encoder_hidden_states: Tensor, return_dict=True, **others) -> Output:
        """Latents [b c f h w], a timestep (a number, or [b]) and text [b t e] -> Output, the noise [b c f h w].

        With return_dict or without, `output[0]` is the noise. ValueError: a shape that it cannot read, more frames than
        have a number, or an argument that only diffusers' UNet has.
        """
        self._check(sample, encoder_hidden_states, others)
        x = self.patch_embed(cut(sample, self.patch)) + self._places(sample)  # [b n d]
        time = self._time(timestep, sample)  # [b d]
        six = self.modulation(time).unflatten(1, (6, -1))  # [b 6 d]
        for block in self.blocks:
            x = block(x, six, encoder_hidden_states)  # [b n d]
        shift, scale = self.modulation_out(time).unflatten(1, (2, -1)).chunk(2, dim=1)  # each [b 1 d]
        x = self.proj_out(modulated(self.norm_out(x), shift, scale))  # [b n (c p q r)]
        return Output(join(x, sample.shape, self.patch))

    def _places(self, sample: Tensor) -> Tensor:
        sizes = tuple(size // side for size, side in zip(sample.shape[2:], self.patch, strict=True))
        return places(sizes, self.config.width).to(sample.device, self.dtype)  # [n d]

    def _time(self, timestep, sample: Tensor) -> Tensor:
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample))  # [b]
        return F.silu(self.time_embedding(sinusoidal(t, self.config.width).to(self.dtype)))  # [b d]

    def _check(self, sample: Tensor, text: Tensor, others: dict) -> None:
        c = self.config
        if sample.ndim != 5 or not sample.numel() or sample.shape[1] != c.in_channels:
            raise ValueError(f"sample has shape {list(sample.shape)}, but [b {c.in_channels} f h w] is needed.")
        if text.ndim != 3 or len(text) != len(sample) or text.shape[2] != c.cross_attention_dim:
            needed = f"[{len(sample)} t {c.cross_attention_dim}]"
            raise ValueError(f"encoder_hidden_states has shape {list(text.shape)}, but {needed} is needed.")
        if sample.shape[2] > c.most_frames:
            raise ValueError(f"frames={sample.shape[2]} is not allowed: this DiT has numbers for {c.most_frames}.")
        for name, size, side in zip(("frames", "height", "width"), sample.shape[2:], self.patch, strict=True):
            if size % side:
                raise ValueError(
                    f"{name}={size} (of the latents) is not allowed: use a multiple of the patch's {side}."
                )
        for name in (name for name, value in others.items() if value is not None):
            raise ValueError(f"{name} is not known to DiT: leave it out.")


def zero(layer: nn.Linear) -> nn.Linear:
    """The layer itself, with all weights zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
