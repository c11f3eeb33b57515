def attention_flops(frames, pixels, channels):
    """FLOPs of the scores and of the sums that they weigh, in one layer:
    (temporal, spatial)."""
    temporal = pixels * 4 * frames**2 * channels  # a sequence for each pixel
    spatial = frames * 4 * pixels**2 * channels  # a sequence for each frame
    return temporal, spatial
