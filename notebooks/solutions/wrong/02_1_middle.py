# helpful word: Half of the timesteps
def half_way(alphas_cumprod):
    return len(alphas_cumprod) // 2
