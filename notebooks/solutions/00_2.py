def motion(frames):
    """Mean absolute difference of neighbouring frames: uint8 [f h w c] -> float [f-1]."""
    whole = frames.astype(int)  # [f h w c]; uint8 cannot hold what is below 0
    change = abs(whole[1:] - whole[:-1])  # [f-1 h w c]
    return change.mean(axis=(1, 2, 3))  # [f-1]
