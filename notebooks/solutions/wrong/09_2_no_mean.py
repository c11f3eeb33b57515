# helpful word: Give back their mean
def clipsim(frames, text):
    return frames @ text / (frames.norm(dim=1) * text.norm())
