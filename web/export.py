"""Writes a student and its teacher for the live page: their networks as ONNX, and what else the page must know as JSON.

    python web/export.py --student t2v_helpers/weights/student --teacher t2v_helpers/weights/model --to web/build

A student is a UNet, and shares all else with its teacher: the text encoder, the decoder of finished videos, and a tiny
decoder, which sketches the guesses on the way.

Every number in model.json (latent channels, sizes, tokens, alphas_cumprod, words) is read from the model's own files.
Weights are stored as float16 wherever that loses nothing, and each is cast to float32 before it is used.

Letters: c channels, f frames, h height, w width, n pixels of all frames, t tokens, d their width.
"""

import argparse
import json
import logging
import math
import sys
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
from t2v_helpers.core.model_names import MODELS
from t2v_helpers.inside import unet as inside
from t2v_helpers.model import folders, loading, swapping
from t2v_helpers.model.pipeline import CoursePipeline
from t2v_helpers.training import tiny_autoencoder

ROOT = Path(__file__).resolve().parents[1]
OPSET = 20
FRAMES = 16
SKETCHED = 2  # a guess on the way shows one frame of so many, so that the next call begins sooner
STUDENT = {"samplers": ["ddim"], "counts": [1, 2, 4], "steps": loading.FEW["ddim_trailing"]}
TEACHER = {"samplers": ["dpm++", "ddim"], "counts": [*range(1, 51)], "steps": 6}
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
    """Latents [1 c f h w] -> pixels uint8 [f 8h 8w 3], as pipeline.decode_latents and layout.to_uint8 make them.

    `every`: decode one frame of so many, and show it as often; f must be a multiple of it.
    """

    def __init__(self, vae: nn.Module, every: int = 1):
        super().__init__()
        self.vae, self.every = vae, every
        vae.disable_slicing()  # which would put one decoder into the graph for each frame

    def forward(self, latents: Tensor) -> Tensor:
        images = latents[0].transpose(0, 1)[:: self.every] / self.vae.config.scaling_factor  # [f c h w]
        pixels = (self.vae.decode(images).sample / 2 + 0.5).clamp(0, 1) * 255
        pixels = pixels.round().to(torch.uint8).permute(0, 2, 3, 1)  # [f h w 3]
        return pixels.repeat_interleave(self.every, 0) if self.every > 1 else pixels


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
    """How the model is sampled, by its folder's scheduler; a student goes by DDIM alone, in few steps.

    ValueError: another scheduler than DDIM.
    """
    if not isinstance(pipe.scheduler, DDIMScheduler):
        kind = type(pipe.scheduler).__name__
        raise ValueError(f"the model's scheduler is {kind}, but the page has DDIMScheduler's alone.")
    config = pipe.scheduler.config
    return (STUDENT if pipe.student else TEACHER) | {
        "spacing": config.timestep_spacing,
        "toOne": config.set_alpha_to_one,
        "prediction": config.prediction_type,
        "abar": [float(value) for value in pipe.scheduler.alphas_cumprod],
        "guidance": loading.defaults(pipe).guidance,  # 1: there is nothing to choose
    }


def describe(models: dict[str, CoursePipeline], tokenizer: Path) -> dict[str, object]:
    """What the page must know besides the networks. `tokenizer`: the folder of the one that both models have."""
    vocabulary, merges = folders.vocabulary(tokenizer)
    config = models["student"].unet.config
    return {
        "latents": [config.in_channels, FRAMES, config.sample_size, config.sample_size],
        "tokens": models["student"].text_encoder.config.max_position_embeddings,
        "fps": video.FPS,
        "tokenizer": {"vocab": vocabulary, "merges": merges},
        "world": world(),
        "models": {name: sampling(pipe) for name, pipe in models.items()},
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


def opened(student: Path, teacher: Path) -> dict[str, CoursePipeline]:
    """Both pipelines. ValueError: the teacher is a student; those of `load` and `with_student`."""
    pipe = loading.load(teacher, device="cpu", dtype="float32", quiet=True)
    if pipe.student:
        raise ValueError(f"--teacher {teacher} holds no teacher: a student's scheduler alone is spaced 'trailing'.")
    return {"student": loading.with_student(pipe, student), "teacher": pipe}


def opened_tiny(folder: Path, pipe: CoursePipeline) -> AutoencoderTiny:
    """The autoencoder that sketches. Errors: those of `read_part`; ValueError: it has other latent channels."""
    tiny = swapping.read_part(AutoencoderTiny, folder, pipe.vae)
    swapping.check_parts(pipe, vae=tiny)
    return tiny


def export(student: Path, teacher: Path, to: Path, tiny: Path = tiny_autoencoder.FOLDER) -> None:
    """Write {text,tiny,student,teacher,decoder}.onnx and model.json. Errors: those of `opened` and `opened_tiny`."""
    models = opened(student, teacher)
    pipe = models["teacher"]
    known = describe(models, teacher / "tokenizer")
    decoders = {"tiny": Decoder(opened_tiny(tiny, pipe), SKETCHED), "decoder": Decoder(pipe.vae)}
    encoder = pipe.text_encoder
    encoder.set_attn_implementation("eager")
    to.mkdir(parents=True, exist_ok=True)
    tokens = torch.zeros(1, known["tokens"], dtype=torch.int64)
    x, words = torch.zeros(1, *known["latents"]), torch.zeros(1, known["tokens"], encoder.config.hidden_size)
    write_onnx(Text(encoder), {"tokens": tokens}, ["text"], to / "text.onnx")
    for name, pipe in models.items():
        inputs = {"x": x, "timestep": torch.zeros(1), "text": words}
        write_onnx(Denoiser(inside.from_diffusers(pipe.unet)), inputs, ["answer", "maps"], to / f"{name}.onnx")
    for name, decoder in decoders.items():
        write_onnx(decoder, {"latents": x}, ["pixels"], to / f"{name}.onnx")
    files.write_whole(to / "model.json", lambda temporary: temporary.write_text(json.dumps(known), encoding="utf-8"))


def main() -> None:
    """Read the command line and export. SystemExit: a folder is not there, or a model cannot be used."""
    cartoons = MODELS["cartoon"]
    parser = argparse.ArgumentParser(description="Write a student and its teacher for the live page.")
    parser.add_argument("--student", type=Path, default=cartoons.student, help="a folder with a student")
    parser.add_argument("--teacher", type=Path, default=cartoons.folder, help="a folder with its teacher's pipeline")
    parser.add_argument("--tiny", type=Path, default=tiny_autoencoder.FOLDER, help="a folder with a tiny autoencoder")
    parser.add_argument("--to", type=Path, default=ROOT / "web" / "build", help="the folder to write")
    asked = parser.parse_args()
    if not asked.student.is_dir():
        sys.exit(f"The page needs the student, and {asked.student} is not there: `t2v train halving student` makes it.")
    try:
        export(asked.student, asked.teacher, asked.to, asked.tiny)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
