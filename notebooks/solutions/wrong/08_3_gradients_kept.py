# helpful word: zero_grad
from copy import deepcopy

import torch

from t2v_helpers.diffusion import noise


def train_video_model(net, clips, steps, lr=5e-3, seed=0):
    dice, average = torch.Generator().manual_seed(seed), deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr)
    for k in range(steps):
        i, x_0 = clips.draw(k, dice)  # [b], [b c f h w]
        x_0 = x_0 / clips.latents.std()  # 1. as large as the noise
        t = torch.randint(1000, (len(i),), generator=dice)  # [b]
        eps = torch.randn(x_0.shape, generator=dice)
        x_t = noise.add_noise(x_0, eps, noise.alphas_cumprod()[t])
        silent = torch.rand(len(i), generator=dice) < 0.1
        words = torch.where(silent[:, None], clips.no_words, clips.words[i])  # 2. theirs
        loss = (net(x_t, t, words) - eps).square().mean()
        loss.backward()
        optimizer.step()
        keep = min(0.99, (1 + k) / (10 + k))  # 3. a short memory at first
        with torch.no_grad():
            for mean, p in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(p, 1 - keep)
        yield loss.item(), average
