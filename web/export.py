"""Writes the parts of a model for the live page: its networks as ONNX, and what else the page must know as JSON.

    python web/export.py --model t2v_helpers/weights/model --tiny t2v_helpers/weights/tiny_vae --to web/build

The model's own decoder makes the finished video, the tiny one a sketch after every call of the UNet.

Every number in model.json (latent channels, sizes, tokens, alphas_cumprod, words) is read from the model's own files.
Weights are stored as float16 wherever that loses nothing, and each is cast to float32 before it is used.

Letters: c channels, f frames, h height, w width, n pixels of all frames, t tokens, d their width.
"""

import argparse
import json
import logging
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from diffusers import AutoencoderTiny, DDIMScheduler
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers import cartoon
from t2v_helpers.cartoon import grammar
from t2v_helpers.core import files, video
from t2v_helpers.inside import unet as inside
from t2v_helpers.model import folders, loading, swapping
from t2v_helpers.model.pipeline import CoursePipeline

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "t2v_helpers" / "weights"
OPSET = 20
FRAMES = 16
logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # that torchvision is not there is no matter
SMALL = 64  # a tensor of fewer numbers stays in float32: its cast would take more room than it saves


class Text(nn.Module):
    """Tokens [1 t] -> text [1 t d]."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: Tensor) -> Tensor:
        return self.encoder(tokens)[0]  # [1 t d]


class WatchedAttention(inside.Attention):
    """An Attention that adds its weights, the mean of its heads [n t], to the list `seen`; its answer is the same."""

    seen: list[Tensor]

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        k, v = self.keys_and_values(text)  # [1 heads t d]
        q = self.split(self.to_q(x).reshape(1, -1, x.shape[-1]))  # [1 heads n d]
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)  # [1 heads n t]
        self.seen.append(weights.mean(dim=(0, 1)))  # [n t]
        return self.to_out((weights @ v).transpose(1, 2).reshape(x.shape))  # [f h*w c]


class Denoiser(nn.Module):
    """x [1 c f h w], timestep [1], text [1 t d] -> the UNet's answer [1 c f h w], and where words are read [f h w t].

    As in Maps.of_word of inside/attention_maps.py: the mean over heads and layers, enlarged to the largest layer.
    """

    def __init__(self, unet: inside.UNet3D):
        super().__init__()
        self.unet = unet
        transformers = [m for m in unet.modules() if isinstance(m, inside.SpatialTransformer)]
        self.watched = [block.attn2 for m in transformers for block in m.transformer_blocks]

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        seen = []
        for attention in self.watched:
            attention.__class__, attention.seen = WatchedAttention, seen
        answer = self.unet(x, timestep, text).sample  # [1 c f h w]
        return answer, torch.stack([self._enlarged(one, x) for one in seen]).mean(dim=0)

    def _enlarged(self, seen: Tensor, x: Tensor) -> Tensor:
        f, h, w = x.shape[2:]
        shrunk = math.isqrt(f * h * w // len(seen))
        maps = seen.reshape(f, h // shrunk, w // shrunk, -1).permute(0, 3, 1, 2)  # [f t h' w']
        return F.interpolate(maps, (h, w), mode="bilinear").permute(0, 2, 3, 1)  # [f h w t]


class Decoder(nn.Module):
    """Latents [1 c f h w] -> pixels uint8 [f 8h 8w 3], as pipeline.decode_latents and layout.to_uint8 make them."""

    def __init__(self, vae: nn.Module):
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor) -> Tensor:
        images = latents[0].transpose(0, 1) / self.vae.config.scaling_factor  # [f c h w]
        pixels = (self.vae.decode(images).sample / 2 + 0.5).clamp(0, 1) * 255
        return pixels.round().to(torch.uint8).permute(0, 2, 3, 1)  # [f h w 3]


def write_onnx(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> None:
    """Export a module for inputs of exactly these shapes. Errors: see files.write_whole."""
    with torch.no_grad():
        program = torch.onnx.export(
            module.eval(), tuple(inputs.values()), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=list(inputs), output_names=outputs,
        )  # fmt: skip
    model = program.model_proto
    strip(model)
    halve(model.graph)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    files.write_whole(path, lambda temporary: temporary.write_bytes(data))


def strip(model: onnx.ModelProto) -> None:
    """Drop what torch notes of its own source: a fifth of the file, with the paths of this machine."""
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def halve(graph: onnx.GraphProto) -> None:
    """Store float32 weights as float16 where that is exact, each with a Cast back to float32 under its old name."""
    casts = []
    for weight in graph.initializer:
        value = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or value.size < SMALL or not _fits(value):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(casts + nodes)


def _fits(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((value.astype(np.float16).astype(np.float32) == value).all())


def sampling(pipe: CoursePipeline) -> dict[str, object]:
    """How the model is sampled, by its folder's scheduler.

    A student's own is spaced "trailing": it goes on by DDIM alone, in few steps, and has learnt its guidance.
    ValueError: another scheduler than DDIM.
    """
    if not isinstance(pipe.scheduler, DDIMScheduler):
        kind = type(pipe.scheduler).__name__
        raise ValueError(f"the model's scheduler is {kind}, but the page has DDIMScheduler's alone.")
    teacher = {"samplers": ["dpm++", "ddim"], "steps": 6, "guidance": loading.GUIDANCE["cartoon"]}
    student = {"samplers": ["ddim"], "steps": loading.FEW["ddim_trailing"], "guidance": 0}
    config = pipe.scheduler.config
    own = {
        "spacing": config.timestep_spacing, "toOne": config.set_alpha_to_one, "prediction": config.prediction_type
    }  # fmt: skip
    return own | (student if pipe.student else teacher)


def describe(pipe: CoursePipeline, folder: Path) -> dict[str, object]:
    """What the page must know besides the networks. `folder`: the pipeline's."""
    vocabulary, merges = folders.vocabulary(folder / "tokenizer")
    size = pipe.unet.config.sample_size
    return {
        "latents": [pipe.unet.config.in_channels, FRAMES, size, size],
        "tokens": pipe.text_encoder.config.max_position_embeddings,
        "fps": video.FPS,
        "abar": [float(value) for value in pipe.scheduler.alphas_cumprod],
        "tokenizer": {"vocab": vocabulary, "merges": merges},
        "world": world(),
        **sampling(pipe),
    }


def world() -> dict[str, object]:
    """The words of the cartoon world, and how a sentence is made of them."""
    return {
        "vocabulary": cartoon.vocabulary(),
        "subjects": grammar.SUBJECTS,
        "riders": grammar.RIDERS,
        "actions": grammar.ACTIONS,
        "places": {name: words[0] for name, words in grammar.PLACE_WORDS.items()},
        "keywords": grammar.KEYWORDS,
        "styles": {name: words[0] for name, words in grammar.STYLE_WORDS.items()},
    }


def export(model: Path, tiny: Path, to: Path) -> None:
    """Write text.onnx, unet.onnx, decoder.onnx, sketch.onnx and model.json."""
    pipe = loading.load(model, device="cpu", dtype="float32", quiet=True)
    pipe.text_encoder.set_attn_implementation("eager")
    sketch = swapping.read_part(AutoencoderTiny, tiny, like=pipe.vae)
    to.mkdir(parents=True, exist_ok=True)
    known = describe(pipe, model)
    x, words = torch.zeros(1, *known["latents"]), torch.zeros(1, known["tokens"], pipe.unet.config.cross_attention_dim)
    tokens = torch.zeros(1, known["tokens"], dtype=torch.int64)
    write_onnx(Text(pipe.text_encoder), {"tokens": tokens}, ["text"], to / "text.onnx")
    inputs = {"x": x, "timestep": torch.zeros(1), "text": words}
    write_onnx(Denoiser(inside.from_diffusers(pipe.unet)), inputs, ["answer", "maps"], to / "unet.onnx")
    for name, vae in {"decoder": pipe.vae, "sketch": sketch}.items():
        write_onnx(Decoder(vae), {"latents": x}, ["pixels"], to / f"{name}.onnx")
    files.write_whole(to / "model.json", lambda temporary: temporary.write_text(json.dumps(known), encoding="utf-8"))


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description="Write the parts of a model for the live page.")
    parser.add_argument("--model", type=Path, default=WEIGHTS / "model", help="a folder with a pipeline")
    parser.add_argument("--tiny", type=Path, default=WEIGHTS / "tiny_vae", help="a folder with a tiny VAE of it")
    parser.add_argument("--to", type=Path, default=ROOT / "web" / "build", help="the folder to write")
    asked = parser.parse_args()
    export(asked.model, asked.tiny, asked.to)


if __name__ == "__main__":
    main()
