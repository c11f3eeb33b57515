"""The whole UNet of a text-to-video model: latents and a timestep and text in, the noise in the latents out.

    unet = from_diffusers(pipe.unet)
    eps = unet(x_t, 500, encoder_hidden_states=text).sample

It is ModelScopeT2V's network (Wang et al. 2023, arXiv 2308.06571, section 3): the UNet of latent diffusion (Rombach et
al. 2022, arXiv 2112.10752), each convolution and each attention followed by one along time. Its parameters have the
names of diffusers' UNet3DConditionModel, so its checkpoints load unchanged.

Letters: b batch, c channels, f frames, h height, w width, n pixels (h w), t tokens of text, d a head's channels,
e channels of the time embedding. Spatial layers read frames as images, [(b f) c h w]; temporal layers read each pixel
as a sequence, [(b h w) f c]. Wherever a video is unfolded, `batch` says how many there are.
"""

import math
from collections import namedtuple
from collections.abc import Mapping
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import tensors
from t2v_helpers.core.layout import fold_frames, unfold_frames
from t2v_helpers.inside import unet_config

Output = namedtuple("Output", "sample")  # the noise [b c f h w]: output.sample or output[0], as diffusers has it


def sinusoidal(timesteps: Tensor, width: int) -> Tensor:
    """cos(t w_i), then sin(t w_i), with w_i = 10000^(-i / (width / 2)): [b] -> float32 [b width].

    Vaswani et al. 2017, arXiv 1706.03762, section 3.5, with timesteps for positions, as in DDPM. ValueError: odd width.
    """
    if width < 2 or width % 2:
        raise ValueError(f"width={width} is not allowed: use an even whole number above 0, half of it for each wave.")
    i = torch.arange(width // 2, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[:, None].float() * torch.exp(-math.log(10000) * i / (width // 2))  # [b width/2]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)  # [b width]


class Linear(nn.Linear):
    """W x + bias. Sampled on a CPU, as a convolution of kernel 1: oneDNN computes the sums then, often faster."""

    def forward(self, x: Tensor) -> Tensor:
        """x [... c] -> [... out]."""
        if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(x)
        rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # [1 c n 1], with the channels last in memory
        y = F.conv2d(rows, self.weight[:, :, None, None], self.bias)  # [1 out n 1]
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)  # [... out]


class TimeEmbedding(nn.Module):
    """e = W_2 silu(W_1 s): the embedding of the time, an input of every SpatialConv (DDPM, arXiv 2006.11239)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear_1 = Linear(width, 4 * width)
        self.linear_2 = Linear(4 * width, 4 * width)

    def forward(self, s: Tensor) -> Tensor:
        """The sinusoids s [b c] -> [b e]."""
        return self.linear_2(F.silu(self.linear_1(s)))  # [b e]


class SpatialConv(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + W silu(e)))): a residual block on each frame, given the time.

    DDPM, arXiv 2006.11239, appendix B. Where the channels change, a 1x1 convolution adapts x.
    """

    def __init__(self, channels: int, out: int, time: int, groups: int, eps: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels, eps)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.time_emb_proj = Linear(time, out)
        self.norm2 = nn.GroupNorm(groups, out, eps)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        if channels != out:
            self.conv_shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [(b f) c h w] and the time [b e] -> [(b f) out h w]."""
        shift = self.time_emb_proj(F.silu(time)).repeat_interleave(len(x) // len(time), dim=0)  # [(b f) c]
        y = self.conv1(F.silu(self.norm1(x))) + shift[:, :, None, None]  # [(b f) c h w]
        y = self.conv2(F.silu(self.norm2(y)))  # [(b f) c h w]
        return y + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class FrameConv(nn.Conv3d):
    """y_f = W_-1 x_(f-1) + W_0 x_f + W_1 x_(f+1) + bias for each pixel; frames outside the video count as zeros.

    A Conv3d of kernel (3, 1, 1), computed as a Conv2d of kernel (3, 1) on pixels in a row: the same sums, faster.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        """x [b c f n] -> the same shape."""
        return F.conv2d(x, self.weight.squeeze(-1), self.bias, padding=(1, 0))  # [b c f n]


class TemporalConv(nn.Module):
    """x + C_4(C_3(C_2(C_1(x)))) with C(x) = frame_conv(silu(norm(x))): four convolutions along time.

    ModelScopeT2V, arXiv 2308.06571, section 3. The last one starts at zero: an untrained layer passes x on.
    """

    def __init__(self, channels: int, groups: int, dropout: float = 0.1):
        super().__init__()
        self.conv1 = nn.Sequential(nn.GroupNorm(groups, channels), nn.SiLU(), FrameConv(channels))
        for name in ("conv2", "conv3", "conv4"):
            parts = nn.GroupNorm(groups, channels), nn.SiLU(), nn.Dropout(dropout), FrameConv(channels)
            self.add_module(name, nn.Sequential(*parts))
        nn.init.zeros_(self.conv4[-1].weight)
        nn.init.zeros_(self.conv4[-1].bias)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """x [(b f) c h w] -> the same shape."""
        y = unfold_frames(x, batch).flatten(3)  # [b c f n]
        y = self.conv4(self.conv3(self.conv2(self.conv1(y))))  # [b c f n]
        return x + fold_frames(y.unflatten(3, x.shape[2:]))  # [(b f) c h w]


class Attention(nn.Module):
    """W_o softmax(q k^T / sqrt(d)) v with q = W_q x, k = W_k s, v = W_v s; s is x itself, or the text.

    Vaswani et al. 2017, arXiv 1706.03762, section 3.2. All frames of a video query its text at once.
    """

    kept: tuple[Tensor, Tensor, Tensor] | None = None  # a text with its keys and values, see feature_reuse.text_kept

    def __init__(self, channels: int, heads: int, text: int | None = None):
        super().__init__()
        self.heads, self.text = heads, text
        self.to_q = Linear(channels, channels, bias=False)
        self.to_k, self.to_v = (Linear(text or channels, channels, bias=False) for _ in range(2))
        self.to_out = nn.Sequential(Linear(channels, channels))

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """x [(b f) n c] and text [b t d], or None for x itself -> the shape of x."""
        k, v = self.keys_and_values(x if text is None else text)  # [b heads t d]
        q = self.split(self.to_q(x).reshape(len(k), -1, x.shape[-1]))  # [b heads (f n) d]
        y = F.scaled_dot_product_attention(q, k, v)  # [b heads (f n) d]
        return self.to_out(y.transpose(1, 2).reshape(x.shape))  # [(b f) n c]

    def keys_and_values(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """k and v of s [b t d], each [b heads t d]; the kept ones if s is the kept text itself."""
        if self.kept and self.kept[0] is s:
            return self.kept[1:]
        return self.split(self.to_k(s)), self.split(self.to_v(s))  # [b heads t d]

    def split(self, x: Tensor) -> Tensor:
        """[b t c] -> [b heads t d]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [b heads t d]


class GEGLU(nn.Module):
    """(W_1 x) * gelu(W_2 x), with both matrices in one (Shazeer 2020, arXiv 2002.05202, section 2)."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.proj = Linear(channels, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        """x [... c] -> [... out]."""
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate.contiguous())  # on a CPU it is slower on a view than it is to copy


class FeedForward(nn.Module):
    """W_3 geglu(x): each place by itself, through four times the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, 4 * channels), nn.Identity(), Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [... c] -> the same shape."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """x += attn1(norm x), attn2(norm x, text or x), ff(norm x) in turn (latent diffusion, arXiv 2112.10752, 3.3)."""

    def __init__(self, channels: int, heads: int, text: int | None = None):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = Attention(channels, heads)
        self.attn2 = Attention(channels, heads, text)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """x [b n c] and text [b t d] or None -> the shape of x."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), text)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """x + W_out block(W_in norm(x)); the two kinds below say what a sequence is. A head has `head_dim` channels."""

    def __init__(self, channels: int, heads: int, head_dim: int, groups: int, text: int | None = None):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = Linear(channels, heads * head_dim)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(heads * head_dim, heads, text)])
        self.proj_out = Linear(heads * head_dim, channels)


class SpatialTransformer(Transformer):
    """A sequence is the pixels of a frame: they read one another (attn1), then the text (attn2)."""

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x [(b f) c h w] and text [b t d] -> the shape of x."""
        y = self.norm(x).flatten(2).transpose(1, 2)  # [(b f) n c]
        y = self.proj_out(self.transformer_blocks[0](self.proj_in(y), text))  # [(b f) n c]
        return x + y.transpose(1, 2).unflatten(2, x.shape[2:])  # [(b f) c h w]


class TemporalTransformer(Transformer):
    """A sequence is one pixel in all frames: it reads itself in the others, twice. No positional encoding."""

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """x [(b f) c h w] -> the same shape."""
        y = self.norm(unfold_frames(x, batch)).permute(0, 3, 4, 2, 1)  # [b h w f c]
        z = self.proj_out(self.transformer_blocks[0](self.proj_in(y.flatten(0, 2))))  # [(b h w) f c]
        return x + fold_frames(z.view(y.shape).permute(0, 4, 3, 1, 2))  # [(b f) c h w]


class Resample(nn.Module):
    """conv(x): every second pixel (stride 2), or all of them after each was doubled."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """x [(b f) c h w] -> half the height and width, or `size`."""
        return self.conv(x if size is None else F.interpolate(x, size=size, mode="nearest"))  # [(b f) c h w]


class Block(nn.Module):
    """Spatio-temporal layers: SpatialConv, TemporalConv and, in blocks that attend, both transformers.

    So a layer has (2, 4, 2, 2) parts: spatial and temporal convolutions, spatial and temporal attentions. `widths` are
    the channels in and out of each layer; the first `attending` layers have attentions.
    """

    def __init__(self, widths: list[tuple[int, int]], config: SimpleNamespace, attending: int):
        super().__init__()
        groups, time, head = config.norm_num_groups, 4 * config.block_out_channels[0], config.attention_head_dim
        self.resnets = nn.ModuleList(SpatialConv(i, out, time, groups, config.norm_eps) for i, out in widths)
        self.temp_convs = nn.ModuleList(TemporalConv(out, groups) for _, out in widths)
        shapes = [(out, out // head, head, groups) for _, out in widths[:attending]]
        self.attentions = nn.ModuleList(SpatialTransformer(*shape, config.cross_attention_dim) for shape in shapes)
        self.temp_attentions = nn.ModuleList(TemporalTransformer(*shape) for shape in shapes)

    def convolve(self, i: int, x: Tensor, time: Tensor) -> Tensor:
        """The convolutions of layer i: x [(b f) c h w] and the time [b e] -> [(b f) c h w]."""
        return self.temp_convs[i](self.resnets[i](x, time), len(time))  # [(b f) c h w]

    def attend(self, i: int, x: Tensor, text: Tensor) -> Tensor:
        """The attentions of layer i, if it has any: x [(b f) c h w] and text [b t d] -> the shape of x."""
        return self.temp_attentions[i](self.attentions[i](x, text), len(text)) if self.attentions else x


class DownBlock(Block):
    """Layers, then half the height and width, unless it is the lowest; every output is pushed onto the skip stack."""

    def forward(self, x: Tensor, time: Tensor, text: Tensor, skips: list[Tensor]) -> Tensor:
        """x [(b f) c h w], time [b e], text [b t d] -> the next x; pushes onto `skips`."""
        for i in range(len(self.resnets)):
            x = self.attend(i, self.convolve(i, x, time), text)  # [(b f) c h w]
            skips.append(x)
        for half in self.downsamplers:
            x = half(x)  # [(b f) c h/2 w/2]
            skips.append(x)
        return x


class MidBlock(Block):
    """Convolutions, attentions, convolutions, at the lowest resolution."""

    def forward(self, x: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """x [(b f) c h w], time [b e], text [b t d] -> the shape of x."""
        x = self.attend(0, self.convolve(0, x, time), text)
        return self.convolve(1, x, time)  # [(b f) c h w]


class UpBlock(Block):
    """Layers that read x with the top of the skip stack (U-Net, arXiv 1505.04597), then upsampling, unless last."""

    def forward(self, x: Tensor, time: Tensor, text: Tensor, skips: list[Tensor]) -> Tensor:
        """x [(b f) c h w], time [b e], text [b t d] -> the next x; pops from `skips`."""
        for i in range(len(self.resnets)):
            x = self.attend(i, self.convolve(i, torch.cat([x, skips.pop()], dim=1), time), text)  # [(b f) c h w]
        for double in self.upsamplers:
            x = double(x, skips[-1].shape[2:])  # [(b f) c 2h 2w]
        return x


class UNet3D(nn.Module):
    """eps = unet(x_t, t, text), built from the keys of a UNet3DConditionModel's config.json (see unet_config.RULES)."""

    dtype = property(lambda self: self.conv_in.weight.dtype, doc="The type of the weights.")
    device = property(lambda self: self.conv_in.weight.device, doc="Where the weights are.")

    def __init__(self, config: Mapping):
        super().__init__()
        unet_config.check_config(config)
        self.config = c = SimpleNamespace(**config)
        self.kept_text = None
        widths = c.block_out_channels
        self.conv_in = nn.Conv2d(c.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0])
        self.transformer_in = TemporalTransformer(widths[0], 8, c.attention_head_dim, c.norm_num_groups)
        skips = self._build_down(c)
        self.mid_block = MidBlock([(widths[-1], widths[-1])] * 2, c, attending=1)
        self._build_up(c, skips)
        self.conv_norm_out = nn.GroupNorm(c.norm_num_groups, widths[0], c.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], c.out_channels, 3, padding=1)

    def forward(self, sample: Tensor, timestep, encoder_hidden_states: Tensor, return_dict=True, **others) -> Output:
        """Latents [b c f h w], a timestep (a number, or [b]) and text [b t d] -> Output, the noise [b c f h w].

        Any h and w will do. With text [(k b) t d] the noise is [(k b) c f h w]: the same latents under k texts, as
        guidance needs them. What no text is needed for is then computed once; diffusers wants the latents k times.
        With return_dict or without, `output[0]` is the noise; `others` are arguments that only diffusers' UNet has,
        and must be None. ValueError: other shapes, or such an argument.
        """
        unet_config.check_inputs(self.config, sample, encoder_hidden_states, others)
        text = self._kept(encoder_hidden_states)  # [b t d]
        x, time = self.enter(sample, timestep, len(text) // len(sample))
        skips = [x]
        for block in self.down_blocks:
            x = block(x, time, text, skips)  # [(b f) c h w], smaller and smaller
        x = self.mid_block(x, time, text)
        for block in self.up_blocks:
            x = block(x, time, text, skips)  # [(b f) c h w], and larger again
        return Output(self.leave(x, len(text)))

    def enter(self, sample: Tensor, timestep, k: int = 1) -> tuple[Tensor, Tensor]:
        """Everything before the blocks: the first features [(k b f) c h w], and the embedding of the time [(k b) e]."""
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample))  # [b]
        time = self.time_embedding(sinusoidal(t, self.config.block_out_channels[0]).to(self.dtype))  # [b e]
        x = self.transformer_in(self.conv_in(fold_frames(sample)), len(sample))  # [(b f) c h w]
        return x.repeat(k, 1, 1, 1), time.repeat(k, 1)

    def leave(self, x: Tensor, batch: int) -> Tensor:
        """Everything after the blocks: the last features [(b f) c h w] become the noise [b c f h w]."""
        return unfold_frames(self.conv_out(F.silu(self.conv_norm_out(x))), batch)

    def _build_down(self, c: SimpleNamespace) -> list[int]:
        """The down blocks; returns the channels of every skip, which the up blocks will read."""
        self.down_blocks, width, skips = nn.ModuleList(), c.block_out_channels[0], [c.block_out_channels[0]]
        for out, kind in zip(c.block_out_channels, c.down_block_types, strict=True):
            widths = [(i, out) for i in [width] + [out] * (c.layers_per_block - 1)]
            last = len(self.down_blocks) == len(c.block_out_channels) - 1
            block = DownBlock(widths, c, attending=len(widths) * ("CrossAttn" in kind))
            block.downsamplers = nn.ModuleList([] if last else [Resample(out, stride=2)])
            self.down_blocks.append(block)
            width, skips = out, skips + [out] * (c.layers_per_block + (not last))
        return skips

    def _build_up(self, c: SimpleNamespace, skips: list[int]) -> None:
        """The up blocks: one layer more than on the way down, for the skip of the downsampling."""
        self.up_blocks, width = nn.ModuleList(), c.block_out_channels[-1]
        for out, kind in zip(c.block_out_channels[::-1], c.up_block_types, strict=True):
            widths = [(i + skips.pop(), out) for i in [width] + [out] * c.layers_per_block]
            block = UpBlock(widths, c, attending=len(widths) * ("CrossAttn" in kind))
            block.upsamplers = nn.ModuleList([Resample(out, stride=1)] if skips else [])
            self.up_blocks.append(block)
            width = out

    def _kept(self, text: Tensor) -> Tensor:
        """The kept text itself if `text` equals it, so that an Attention recognizes it; else `text`."""
        kept = self.kept_text
        return kept if kept is not None and kept.dtype == text.dtype and torch.equal(kept, text) else text


def from_diffusers(source: nn.Module) -> UNet3D:
    """The UNet3D of a UNet3DConditionModel, in eval mode, with the very same tensors, so that nothing is held twice.

    ValueError: a configuration or weights that do not fit; then nothing is loaded.
    """
    weights = source.state_dict()
    with torch.device("meta"):
        unet = UNet3D(getattr(source, "config", None))
    tensors.check(weights, unet.state_dict())
    unet.load_state_dict(weights, assign=True)
    return unet.eval()
