"""The recipe of the cartoon model: its sizes, and what each of its parts learns.

    vae      single frames -> latents [16 8 8] -> the same frames
    decoder  the way back alone, for longer: the latents stay as they are, the frames get sharper
    latents  a set of training clips, encoded once
    unet     UNet and text encoder together: first single frames, then videos (and some frames still)

The recipe follows ModelScopeT2V (arXiv 2308.06571): a latent diffusion model that predicts the noise, images and
videos trained together. What is our own, because the model is small: min-SNR weights (arXiv 2303.09556, section 3.4),
a loss of the autoencoder that looks more closely at the subject, and a text encoder that is learned along.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from t2v_helpers import cartoon, dataset, files
from t2v_helpers.losses import psnr, reconstruction
from t2v_helpers.noise import add_noise, snr
from t2v_helpers.seeding import generator
from t2v_helpers.temporal import start_silent, without_dropout
from t2v_helpers.training import cosine, seeded
from t2v_helpers.unet import TemporalConv, TemporalTransformer, UNet3D, from_diffusers

LATENT_CHANNELS, TEXT_WIDTH = dataset.LATENT_CHANNELS, 128
MODEL = Path(__file__).parent / "cartoon" / "model"
MOST_BYTES = 20 * 2**20
SCHEDULE = {  # the whole scheduler_config.json of ModelScopeT2V; other schedulers read their own fields in it
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "thresholding": False,
    "trained_betas": None,
}


def new_vae() -> AutoencoderKL:
    """An untrained autoencoder: frames [b 3 64 64] -> latents [b 16 8 8] and back."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=cartoon.SIZE,
    )


@dataclass(frozen=True)
class VaeSettings:
    """What decides the autoencoder's weights."""

    seed: int = 0
    steps: int = 3600
    batch: int = 16
    lr: float = 5e-3
    warm_up: int = 100
    subject_weight: float = 4.0  # a pixel of the subject counts 1 + this
    gradient_weight: float = 1.0  # of the differences between neighbouring pixels
    laplacian_weight: float = 0.3
    kl_weight: float = 2e-3  # the noise in the latents that this allows costs about 2 % of the loss
    bfloat16: bool = True  # convolutions in half precision: twice as fast where the processor has AMX


class VaeTask:
    """Learn to encode and decode single frames of training clips. Settings: VaeSettings."""

    name, ema = "vae", 0.999

    def __init__(self, settings: VaeSettings):
        self.modules = seeded(settings.seed, new_vae)
        self.chosen, self.steps, self.settings = settings, settings.steps, asdict(settings)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], the subject's masks [b 1 64 64] in [0, 1], noise for latents [b 16 8 8]."""
        x, mask = dataset.frames(self.chosen.seed, k * self.chosen.batch, self.chosen.batch)
        return x, mask, torch.randn(len(x), LATENT_CHANNELS, 8, 8, generator=generator(k))

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels, of their differences and Laplacians, weighted to the subject, and a little KL."""
        x, mask, eps = batch
        weight = 1 + self.chosen.subject_weight * mask
        y, kl = self._through(x, eps)
        loss = reconstruction(x, y, weight, self.chosen.gradient_weight, self.chosen.laplacian_weight)
        return loss + self.chosen.kl_weight * kl, {"psnr": psnr(x, y), "kl": kl.item()}

    def _through(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Frames through the autoencoder and back, float32, and the KL divergence in nats for each latent number."""
        with torch.autocast("cpu", torch.bfloat16, self.chosen.bfloat16):  # each thread has its own
            moments = self.modules.quant_conv(self.modules.encoder(x)).float()
            latent = DiagonalGaussianDistribution(moments)
            y = self.modules.decode(latent.mean + latent.std * eps).sample
        return y.float(), latent.kl().mean() / latent.mean[0].numel()

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)


@dataclass(frozen=True)
class DecoderSettings:
    """What decides the decoder's weights, after the autoencoder's."""

    steps: int = 3000
    batch: int = 16
    lr: float = 3e-3
    warm_up: int = 100
    gradient_weight: float = 2.0
    laplacian_weight: float = 0.5
    bfloat16: bool = True  # as in VaeSettings


class DecoderTask:
    """Go on with the decoder of a trained autoencoder, on frames it has not seen. Settings: DecoderSettings."""

    name, ema = "decoder", 0.999

    def __init__(self, settings: DecoderSettings, trained: VaeSettings, vae: AutoencoderKL):
        self.modules = nn.ModuleDict({"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder})
        self.vae = vae.requires_grad_(False).eval()
        self.modules.requires_grad_(True)
        self.chosen, self.trained, self.steps = settings, trained, settings.steps
        self.settings = {"vae": asdict(trained)} | asdict(settings)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], their masks [b 1 64 64] in [0, 1], their latents [b 16 8 8]."""
        x, mask = dataset.frames(
            self.trained.seed, self.trained.steps * self.trained.batch + k * self.chosen.batch, self.chosen.batch
        )
        with torch.inference_mode():
            latents = self.vae.encode(x).latent_dist.sample(generator(k))  # with its noise, as the encoder learned it
        return x, mask, latents.clone()

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels, of their differences and Laplacians, weighted to the subject."""
        x, mask, latents = batch
        with torch.autocast("cpu", torch.bfloat16, self.chosen.bfloat16):  # each thread has its own
            y = self.modules["decoder"](self.modules["post_quant_conv"](latents)).float()
        weight = 1 + self.trained.subject_weight * mask
        loss = reconstruction(x, y, weight, self.chosen.gradient_weight, self.chosen.laplacian_weight)
        return loss, {"psnr": psnr(x, y)}

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder: tokens [b 24] -> embeddings [b 24 128]."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_unet() -> UNet3DConditionModel:
    """An untrained UNet: latents [b 16 f 8 8], timesteps [b], embeddings [b 24 128] -> noise [b 16 f 8 8]."""
    unet = UNet3DConditionModel(
        sample_size=cartoon.SIZE // 8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    start_silent(unet)
    return without_dropout(unet)  # the world never runs out of clips: nothing needs protection from learning by heart


def new_course_unet() -> UNet3D:
    """The same untrained UNet as the course's own class: a training step takes 30 % less time than diffusers' does."""
    return without_dropout(from_diffusers(new_unet()))


def for_diffusers(unet: UNet3D) -> UNet3DConditionModel:
    """The course's UNet as diffusers' class, in eval mode, with weights of its own."""
    found = new_unet()
    found.load_state_dict(unet.state_dict())
    return found.eval()


@contextmanager
def frames_alone(unet: UNet3D) -> Iterator[None]:
    """Within this context the layers along time pass on what they get; restored on exit."""
    layers = [layer for layer in unet.modules() if isinstance(layer, TemporalConv | TemporalTransformer)]
    for layer in layers:
        layer.forward = lambda x, batch: x
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own shows again


def new_scheduler() -> DDIMScheduler:
    """ModelScopeT2V's noise schedule and noise prediction, as published."""
    return DDIMScheduler.from_config(SCHEDULE)


# ---------------------------------------------------------------------------------------------- UNet and words


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: steps, frames a clip, clips a step."""

    steps: int
    frames: int
    batch: int


@dataclass(frozen=True)
class Round:
    """So many steps at this learning rate; over the last `cool_down` of them it falls to zero."""

    steps: int
    lr: float
    cool_down: float


@dataclass(frozen=True)
class UnetSettings:
    """What decides the weights of the UNet and the text encoder.

    One long round: the rate stays as it is until the last fifth, so where to stop may be decided late (Hu et al. 2024,
    arXiv 2404.06395, section 4: warm-up, stable, decay).
    """

    seed: int = 0
    phases: tuple[Phase, ...] = (Phase(4000, 1, 64), Phase(4000, 8, 12), Phase(32000, 16, 8))
    rounds: tuple[Round, ...] = (Round(40000, 2e-3, 0.2),)
    images_every: int = 8  # in the video phases every so many steps are images, as in ModelScopeT2V
    images: int = 64
    warm_up: int = 50  # steps, in each round
    min_snr: float = 5.0
    empty: float = 0.1  # share of empty captions, for classifier-free guidance


class UnetTask:
    """Learn to tell the noise from the clip, given the words. Settings: UnetSettings."""

    name, ema = "unet", 0.9995

    def __init__(self, settings: UnetSettings, encoded: dataset.Clips, tokenizer: CLIPTokenizer):
        parts = {"unet": new_course_unet, "text_encoder": lambda: new_text_encoder(tokenizer)}
        self.modules = nn.ModuleDict({name: seeded(settings.seed, build) for name, build in parts.items()})
        self.chosen, self.clips, self.tokenizer = settings, encoded, tokenizer
        self.steps, self.settings = sum(phase.steps for phase in settings.phases), asdict(settings)
        self.alphas_cumprod = new_scheduler().alphas_cumprod

    def same_past(self, settings: dict, done: int) -> bool:
        """Whether `settings` of another plan say the same of the first `done` steps: it may be longer, or shorter."""
        return until(self.settings, done) == until(settings, done)

    def phase(self, k: int) -> Phase:
        """The phase of step k: an image step where its turn has come."""
        ends = np.cumsum([phase.steps for phase in self.chosen.phases])
        phase = self.chosen.phases[min(int(np.searchsorted(ends, k, side="right")), len(ends) - 1)]
        return Phase(1, 1, self.chosen.images) if k % self.chosen.images_every == 0 and phase.frames > 1 else phase

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents x_0 [b 16 f 8 8], noise of the same shape, timesteps [b], tokens [b 24]."""
        phase, rng = self.phase(k), np.random.default_rng([self.chosen.seed, k])
        x_0, labels = self.clips.cuts(phase.batch, phase.frames, rng)
        eps = torch.randn(x_0.shape, generator=generator(int(rng.integers(2**31))))
        spread = (np.arange(phase.batch) + rng.random(phase.batch)) / phase.batch  # one timestep from each slice
        captions = [dataset.worded(x, rng, self.chosen.empty) for x in labels]
        return x_0, eps, torch.from_numpy((spread * 1000).astype(np.int64)), dataset.tokens(self.tokenizer, captions)

    def within(self, k: int) -> AbstractContextManager:
        """While only images are learned the temporal layers are off: it costs half, and they start as if not there."""
        images_only = k < self.chosen.phases[0].steps and self.chosen.phases[0].frames == 1
        return frames_alone(self.modules["unet"]) if images_only else nullcontext()

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the noise, weighted min(snr, 5) / snr (arXiv 2303.09556, equation 5)."""
        x_0, eps, t, words = batch
        abar = self.alphas_cumprod[t]
        x_t = add_noise(x_0, eps, abar)
        noise_pred = self.modules["unet"](x_t, t, self.modules["text_encoder"](words)[0]).sample
        error = (noise_pred - eps).square().mean(dim=(1, 2, 3, 4))
        loss = (error * (snr(abar).clamp(max=self.chosen.min_snr) / snr(abar))).mean()
        return loss, {"eps": error.mean().item(), "frames": x_0.shape[2]}

    def lr(self, k: int) -> float:
        """In each round: warm-up, a constant rate, then a straight line to zero."""
        for stretch in self.chosen.rounds:
            if k < stretch.steps:
                break
            k -= stretch.steps
        left = (stretch.steps - k) / (stretch.cool_down * stretch.steps)
        return stretch.lr * max(0.0, min(1, (k + 1) / self.chosen.warm_up, left))


def until(settings: dict, done: int) -> dict:
    """What the plan in a UnetTask's `settings` says of its first `done` steps: phases and rounds are cut off there."""
    return settings | {
        "phases": [phase | {"steps": steps} for phase, steps in _begun(settings["phases"], done)],
        "rounds": [_begun_round(stretch, steps) for stretch, steps in _begun(settings["rounds"], done)],
    }


def _begun(stretches: Sequence[dict], done: int) -> Iterator[tuple[dict, int]]:
    """Each stretch that has begun after `done` steps, and how many of its steps are done."""
    for stretch in stretches:
        if done <= 0:
            return
        yield stretch, min(done, stretch["steps"])
        done -= stretch["steps"]


def _begun_round(stretch: dict, done: int) -> dict:
    """A round of which `done` steps are done; of its end only what is seen by then."""
    falls = stretch["steps"] * (1 - stretch["cool_down"])
    return {"lr": stretch["lr"], "done": done} | (stretch if done > falls else {})


# ---------------------------------------------------------------------------------------------- the pipeline folder


def pipeline(vae, unet, text_encoder, tokenizer, scaling_factor: float) -> TextToVideoSDPipeline:
    """The parts as one TextToVideoSDPipeline; the VAE's configuration takes the scaling factor."""
    vae.register_to_config(scaling_factor=scaling_factor)
    return TextToVideoSDPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=new_scheduler()
    )


def ship(pipe: TextToVideoSDPipeline, folder: Path = MODEL) -> None:
    """Write the pipeline in fp16 (safetensors) with a manifest, all of it or nothing; it replaces a model there.

    Errors: ValueError where it would be larger than 20 MiB; those of `check_place`.
    """
    check_place(folder)
    files.replace_folder(folder, lambda new: _write(pipe, new))


def check_place(folder: Path, *kept: Path) -> None:
    """Know before a long training that a model may replace `folder`: a new or an empty folder, or one with a model.

    Errors: ValueError for another folder, and where the working folder or one of `kept` lies in it; OSError for a file,
    or where nothing may be written.
    """
    place = folder.resolve()
    files.check_target(place / "model_index.json")
    lost = [str(path) for path in (Path.cwd(), *(path.resolve() for path in kept)) if path.is_relative_to(place)]
    if lost:
        why = f"{lost[0]} would be lost with it"
    elif place.exists() and any(place.iterdir()) and not (place / "model_index.json").is_file():
        why = "it holds files, but no model"
    else:
        return
    raise ValueError(
        f"the model cannot replace {str(folder)!r} (--out), because {why}: name a new folder, or one with a model."
    )


def _write(pipe: TextToVideoSDPipeline, folder: Path) -> None:
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.half()
    pipe.save_pretrained(folder, safe_serialization=True)
    # diffusers adds its own defaults here, and other schedulers would take them for choices of the model
    files.write_text(folder / "scheduler" / "scheduler_config.json", json.dumps(SCHEDULE, indent=2) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"the model has {size} bytes, but at most {MOST_BYTES} are shipped; make it smaller.")
    files.write_manifest(folder)
