# helpful word: too early
def half_way(alphas_cumprod):
    return (alphas_cumprod - 0.5).abs().argmin().item()
