def rescaled(x_0_cond, x_0_guided, phi):
    """A guided estimate with the spread of the unguided one, mixed by phi
    (Lin et al. 2024, section 3.4)."""
    all_but_batch = list(range(1, x_0_cond.ndim))
    wanted = x_0_cond.std(all_but_batch, keepdim=True)  # [b 1 1 1 1]
    found = x_0_guided.std(all_but_batch, keepdim=True)  # [b 1 1 1 1]
    return phi * (x_0_guided * wanted / found) + (1 - phi) * x_0_guided
