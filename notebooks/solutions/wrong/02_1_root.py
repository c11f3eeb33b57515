# helpful word: sqrt(1 - abar)
def half_way(alphas_cumprod):
    return (alphas_cumprod.sqrt() < 0.5).nonzero()[0].item()
