def as_sequences(x, batch):
    """[(b f) c h w] -> [(b h w) f c]: unfold the frames,
    bring the pixels to the front, fold them into the batch."""
    video = x.unflatten(0, (batch, -1))  # [b f c h w]
    return video.permute(0, 3, 4, 1, 2).flatten(0, 2)  # [(b h w) f c]
