"""The list of schedulers: adding one is adding an entry to SCHEDULERS, from which everything else is derived.

It imports no library, so that a help text can name the schedulers at once.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scheduler:
    """A class of diffusers, how it spaces its time steps by default, and what else it is made with.

    stochastic: it draws noise at every step. needs: what the config of a model says that was distilled for it; no other
    model can take it.
    """

    cls: str
    spacing: str = "linspace"
    options: dict = field(default_factory=dict)
    stochastic: bool = False
    needs: str = ""


_SINGLE = {"lower_order_final": True}  # diffusers would switch it on by itself, with a warning
_SDE = {"algorithm_type": "sde-dpmsolver++"}
SCHEDULERS = {
    "ddim": Scheduler("DDIMScheduler", "leading"),  # Song et al. 2021, "DDIM", equation 12
    # down from the last training step: Lin et al. 2024, arXiv 2305.08891, section 3.3; where halving leads a student
    "ddim_trailing": Scheduler("DDIMScheduler", "trailing"),
    "dpm++": Scheduler("DPMSolverMultistepScheduler"),  # Lu et al. 2022, "DPM-Solver++", algorithm 2: "2M"
    # Adams-Bashforth in sigma; k-diffusion's sample_lms; diffusers integrates with scipy
    "lms": Scheduler("LMSDiscreteScheduler"),
    # Liu et al. 2022, "PNDM", equations 11 and 12; ModelScope's config skips the Runge-Kutta steps, 9 more calls
    "pndm": Scheduler("PNDMScheduler", "leading", {"skip_prk_steps": True}),
    "euler": Scheduler("EulerDiscreteScheduler"),  # Karras et al. 2022, algorithm 1 without its correction
    "heun": Scheduler("HeunDiscreteScheduler"),  # Karras et al. 2022, algorithm 1
    "unipc": Scheduler("UniPCMultistepScheduler"),  # Zhao et al. 2023, "UniPC", section 3
    "deis": Scheduler("DEISMultistepScheduler"),  # Zhang & Chen 2022, "DEIS", section 4
    "ddpm": Scheduler("DDPMScheduler", "leading", stochastic=True),  # Ho et al. 2020, "DDPM", algorithm 2
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
    # Luo et al. 2023, "Latent Consistency Models", algorithm 3: for students of this kind alone, at times they know
    "lcm": Scheduler("LCMScheduler", "trailing", stochastic=True, needs="original_inference_steps"),
    "sa": Scheduler("SASolverScheduler", stochastic=True),  # Xue et al. 2023, "SA-Solver", section 4
}
