# helpful word: a grey video
def refuse(frames):
    if frames.dtype != "uint8" or frames.ndim != 4:
        return "use uint8, four axes"
    if frames.shape[-1] != 3 or len(frames) < 2:
        return "use [f h w 3], two frames or more"
    return "the video is black" if frames.max() == 0 else None
