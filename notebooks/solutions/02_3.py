def rescaled(eps_cond, eps_guided, phi):
    """Guided noise with the spread of the unguided noise, mixed by phi (Lin et al. 2023, section 3.4)."""
    all_but_batch = list(range(1, eps_cond.ndim))
    wanted = eps_cond.std(all_but_batch, keepdim=True)  # [b 1 1 1 1]
    found = eps_guided.std(all_but_batch, keepdim=True)  # [b 1 1 1 1]
    return phi * (eps_guided * wanted / found) + (1 - phi) * eps_guided
