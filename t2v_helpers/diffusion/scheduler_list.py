"""The list of schedulers: adding one is adding an entry to SCHEDULERS, from which everything else is derived.

It imports no library, so that a help text can name the schedulers at once.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scheduler:
    """A class of diffusers, how it spaces its time steps by default, and what else it is made with.

    stochastic: it draws noise at every step.
    """

    cls: str
    spacing: str = "linspace"
    options: dict = field(default_factory=dict)
    stochastic: bool = False


_SINGLE = {"lower_order_final": True}  # diffusers would switch it on by itself, with a warning
_SDE = {"algorithm_type": "sde-dpmsolver++"}
SCHEDULERS = {
    # Song et al. 2021, "DDIM", equation 12
    "ddim": Scheduler("DDIMScheduler", "leading"),
    # Lu et al. 2022, "DPM-Solver++", algorithm 2: "2M"
    "dpm++": Scheduler("DPMSolverMultistepScheduler"),
    # Adams-Bashforth in sigma; k-diffusion's sample_lms; diffusers integrates with scipy
    "lms": Scheduler("LMSDiscreteScheduler"),
    # Liu et al. 2022, "PNDM", equations 11 and 12; ModelScope's config skips the Runge-Kutta steps, 9 more calls
    "pndm": Scheduler("PNDMScheduler", "leading", {"skip_prk_steps": True}),
    # Karras et al. 2022, algorithm 1 without its correction
    "euler": Scheduler("EulerDiscreteScheduler"),
    # Karras et al. 2022, algorithm 1
    "heun": Scheduler("HeunDiscreteScheduler"),
    # Zhao et al. 2023, "UniPC", section 3
    "unipc": Scheduler("UniPCMultistepScheduler"),
    # Zhang & Chen 2022, "DEIS", section 4
    "deis": Scheduler("DEISMultistepScheduler"),
    # Ho et al. 2020, "DDPM", algorithm 2
    "ddpm": Scheduler("DDPMScheduler", "leading", stochastic=True),
    # Song et al. 2021, "Score-Based Generative Modeling through SDEs", appendix F; k-diffusion's ancestral sampling
    "euler_a": Scheduler("EulerAncestralDiscreteScheduler", stochastic=True),
    # Karras et al. 2022, algorithm 2 without its churn, by the middle of each step: DPM-Solver-2 in sigma
    "kdpm2": Scheduler("KDPM2DiscreteScheduler"),
    # the same, further down and back up by fresh noise
    "kdpm2_a": Scheduler("KDPM2AncestralDiscreteScheduler", stochastic=True),
    # Lu et al. 2022, "DPM-Solver++", algorithm 1: "2S"; the class has no other spacing
    "dpm++_2s": Scheduler("DPMSolverSinglestepScheduler", options=_SINGLE),
    # Lu et al. 2022, "DPM-Solver++", section 5: the stochastic equation by 2M and by 2S
    "dpm++_sde": Scheduler("DPMSolverMultistepScheduler", options=_SDE, stochastic=True),
    "dpm++_2s_sde": Scheduler("DPMSolverSinglestepScheduler", options=_SINGLE | _SDE, stochastic=True),
    # Xue et al. 2023, "SA-Solver", section 4
    "sa": Scheduler("SASolverScheduler", stochastic=True),
}

_EDM = "it scales the network's input and output as EDM does (Karras et al. 2022, table 1), unlike this training"
_FLOW = "it is for flow matching, another process: a network that predicts a velocity from noise to data"
_DISTILLED = "it is for networks distilled to jump to the end at once, and this one was not"
_TOKENS = "it chooses tokens; these latents are numbers"
_BACKWARD = "it goes from a video to its noise"
_PARALLEL = "it is {} for pipelines that take many steps side by side"
_GROWS = "its noise grows while the signal stays, and this model was trained on a signal that shrinks"
REFUSED = {  # class of diffusers, without "Scheduler" -> why it does not run with this pipeline
    **dict.fromkeys(("EDMEuler", "EDMDPMSolverMultistep", "CosineDPMSolverMultistep"), _EDM),
    **dict.fromkeys(("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete", "FlowMatchLCM"), _FLOW),
    **dict.fromkeys(("LTXEulerAncestralRF", "MiniMaxH3", "Helios", "HeliosDMD", "RFD4Proteina"), _FLOW),
    **dict.fromkeys(("LCM", "TCD", "SCM", "CMStochasticIterative", "FlowMapEulerDiscrete", "Piflow"), _DISTILLED),
    **dict.fromkeys(("VQDiffusion", "Amused", "DiscreteDDIM", "BlockRefinement", "EntropyBound"), _TOKENS),
    **dict.fromkeys(("DDIMInverse", "DPMSolverMultistepInverse"), _BACKWARD),
    **dict.fromkeys(("ScoreSdeVe", "KarrasVe"), _GROWS),
    "DPMSolverSDE": "it needs the package torchsde; dpm++_sde and dpm++_2s_sde solve such an equation without it",
    "IPNDM": "it has a noise schedule of its own and ignores the model's",
    "CogVideoXDDIM": "it shifts the noise schedule, unlike this model's training; on the model's own it is ddim",
    "CogVideoXDPM": "it shifts the noise schedule, unlike this model's training",
    "UnCLIP": "it has only the cosine schedule, and this model was trained on another",
    "DDPMWuerstchen": "its times run from 0 to 1, and this model counts training steps",
    "DDIMParallel": _PARALLEL.format("ddim"),
    "DDPMParallel": _PARALLEL.format("ddpm"),
    "RePaint": "it fills a hole in a given image, and needs both at each step",
    "ConsistencyDecoder": "it is a part of a decoder, not of a pipeline",
}
