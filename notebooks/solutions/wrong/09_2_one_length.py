# helpful word: dim=1 gives each frame its own
def clipsim(frames, text):
    return (frames @ text / (frames.norm() * text.norm())).mean().item()
