def clipsim(frames, text):
    """The mean cosine of the frames' vectors [f d] and the text's [d]."""
    cosines = frames @ text / (frames.norm(dim=1) * text.norm())  # [f]
    return cosines.mean().item()
