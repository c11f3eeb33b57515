def word_map(weights, tokens):
    """Where a word is read, [f h w], from weights [b f h w t]:
    the prompt is the last of the batch."""
    return weights[-1][..., tokens].mean(dim=-1)
