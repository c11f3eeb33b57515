# helpful word: as many codes as frames
import torch

from t2v_helpers.inside.unet import sinusoidal


def with_positions(x):
    return x + sinusoidal(torch.arange(len(x)), x.shape[-1])
