# helpful word: axes [f 3 h w]
def refuse(frames):
    if frames.dtype != "uint8":
        return "frames must be uint8"
    if frames.ndim != 4:
        return "frames must have four axes"
