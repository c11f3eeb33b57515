"""The peak memory of a model's activations, traced without computing anything.

    parts = loading.skeleton("modelscope")
    activation_memory.peaks(parts, frames=16)     {"text_encoder": ..., "unet": ..., "vae": ...}, bytes

On the meta device tensors have no numbers. Their sizes are added up while they live, and the highest sum is kept. What
a device needs in addition (workspaces, cached memory) is not included.
"""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak(model: nn.Module, *inputs, call: Callable | None = None, **kwargs) -> int:
    """Peak bytes of `model(*inputs, **kwargs)`, without its weights and inputs.

    call: run this instead of the model itself, such as `vae.decode`. An attention is one operation, as in today's
    kernels, which never hold all scores at once. ValueError: a model that is not on the meta device.
    """
    found = sorted({tensor.device.type for tensor in model.state_dict().values()})
    if found != ["meta"]:
        raise ValueError(f"model is on {', '.join(found) or 'no device'}, but meta is needed: use loading.skeleton.")
    alive = _Alive([*model.parameters(), *model.buffers(), *tree_leaves((inputs, kwargs))])
    with torch.no_grad(), alive, _FusedAttention():
        (call or model)(*inputs, **kwargs)
    return alive.most


def peaks(parts: Mapping[str, nn.Module], frames: int, latent_height: int, latent_width: int) -> dict[str, int]:
    """Part -> the peak of reading one prompt, of one guided step (b = 2), and of decoding one frame, in bytes.

    parts: of loading.skeleton. latent_height, latent_width: in latent pixels.
    """
    return of_parts(peak, parts, frames, latent_height, latent_width)


def of_parts(measure: Callable, parts: Mapping[str, nn.Module], *size: int) -> dict[str, Any]:
    """Part -> `measure(part, *inputs)` for one prompt, one guided step and decoding one frame. size: as in `inputs`."""
    given, decode = inputs(parts, *size), parts["vae"].decode
    found = {name: measure(parts[name], *given[name]) for name in ("text_encoder", "unet")}
    return found | {"vae": measure(parts["vae"], given["vae"][0][:1], call=decode)}


def inputs(parts: Mapping[str, nn.Module], frames: int, latent_height: int, latent_width: int) -> dict[str, tuple]:
    """Part -> its inputs, zeros on the UNet's device: one prompt, one guided step, the latents of all frames.

    A guided step takes the video twice, with and without the prompt (b = 2).
    """
    unet, vae, text = (parts[name] for name in ("unet", "vae", "text_encoder"))
    tokens, size = text.config.max_position_embeddings, (latent_height, latent_width)
    with unet.device:
        ids = torch.zeros(1, tokens, dtype=torch.long)  # [b t]
        read = torch.zeros(2, tokens, unet.config.cross_attention_dim, dtype=unet.dtype)  # [b t d]
        noisy = torch.zeros(2, unet.config.in_channels, frames, *size, dtype=unet.dtype)  # [b c f h w]
        latents = torch.zeros(frames, vae.config.latent_channels, *size, dtype=vae.dtype)  # [f c h w]
    return {"text_encoder": (ids,), "unet": (noisy, 500, read), "vae": (latents,)}


class _Alive(TorchDispatchMode):
    """Adds up the live storages that operations make. `given`: tensors that are not counted."""

    def __init__(self, given: list):
        super().__init__()
        self.now = self.most = 0
        self.known = {x.untyped_storage()._cdata for x in given if isinstance(x, torch.Tensor)}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._hold(leaf.untyped_storage())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:  # a view has the storage of what it looks at
            self.known.add(key)
            weakref.finalize(storage, self._release, key, size)
            self.now += size
            self.most = max(self.most, self.now)

    def _release(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Lets an attention allocate its result alone."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        return given["query"].new_empty(*given["query"].shape[:-1], given["value"].shape[-1])
