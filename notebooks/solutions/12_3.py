def refuse(frames):
    """None for uint8 [f h w 3] in which something is to be seen, else what is wrong."""
    if frames.dtype != "uint8":
        return f"frames are {frames.dtype}: bring them to 0 to 255, and to uint8."
    if frames.ndim != 4 or frames.shape[-1] != 3:
        return f"frames have the shape {list(frames.shape)}: use [f h w 3]."
    if len(frames) < 2:
        return "there is one frame alone: a video has two or more."
    if frames.min() == frames.max():
        return f"all pixels are {frames.max()}: look for NaN before the conversion."
    return None
