"""The course's DiT as a file, in the place of a pipeline's UNet.

    with dit_file.using(pipe):
        made = generate(pipe, spec)

fp16 safetensors of at most 8 MiB. The header says which network it is and what it predicts: no shape shows either.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from t2v_helpers.core import files, paths, tensors
from t2v_helpers.inside.dit import Config, DiT
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline

WEIGHTS = paths.WEIGHTS / "dit.safetensors"
MOST_BYTES = 8 * 2**20
PREDICTS = "noise"


def config_of(channels: int, text_width: int, size: int) -> Config:
    """The network in the file, for latents [b channels f size size] and text [b t text_width]."""
    return Config(in_channels=channels, cross_attention_dim=text_width, sample_size=size, width=144)


def save(dit: DiT, path: Path = WEIGHTS, predicts: str = PREDICTS) -> None:
    """Write a DiT, whole or not at all. ValueError: the file would have over 8 MiB."""
    about = {"config": _text(dit.config), "predicts": predicts}
    state = {name: x.half().contiguous() for name, x in dit.state_dict().items()}
    if (size := sum(x.nbytes for x in state.values())) > MOST_BYTES:
        raise ValueError(f"the DiT has {size} bytes, but at most {MOST_BYTES} are allowed: make it smaller.")
    files.write_whole(path, lambda temporary: save_file(state, str(temporary), metadata=about))


def load(pipe: CoursePipeline, path: Path = WEIGHTS) -> DiT:
    """A DiT for a pipeline, on its device and in its dtype, in eval mode.

    Errors: FileNotFoundError; ValueError: the file is damaged, of another pipeline, or predicts something else.
    """
    pipe = course_pipeline(pipe)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{files.no_file(path)}: train a DiT with `t2v train dit`.")
    unet = pipe.unet.config
    dit = DiT(config_of(unet.in_channels, unet.cross_attention_dim, unet.sample_size))
    _check(path, _text(dit.config))
    dit.load_state_dict(tensors.read([path], dit.state_dict(), pipe.unet.dtype))
    return dit.to(pipe.execution_device, pipe.unet.dtype).eval()


@contextmanager
def using(pipe: CoursePipeline, path: Path = WEIGHTS) -> Iterator[CoursePipeline]:
    """The pipeline with this DiT inside the `with`. Errors: see `load`."""
    pipe = course_pipeline(pipe)
    with pipe.using(unet=load(pipe, path)):
        yield pipe


def _check(path: Path, config: str) -> None:
    about = tensors.about(path)
    if about.get("predicts") != PREDICTS:
        given = about.get("predicts", "nothing that it says")[:40]
        raise ValueError(f"{path} predicts {given!r}, but a pipeline needs {PREDICTS!r}: make it with `t2v train dit`.")
    if about.get("config") != config:
        raise ValueError(f"{path} is the DiT of another pipeline: this one needs {config}; `t2v train dit` makes it.")


def _text(config: Config) -> str:
    return json.dumps(asdict(config))
