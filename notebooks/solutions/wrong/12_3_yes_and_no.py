# helpful word: a sentence that says what is wrong
def refuse(frames):
    good = frames.dtype == "uint8" and frames.ndim == 4 and frames.shape[-1] == 3
    return None if good and len(frames) > 1 and frames.min() < frames.max() else True
