# helpful word: divide by the lengths of both
def clipsim(frames, text):
    return (frames @ text).mean().item()
