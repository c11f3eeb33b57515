# helpful word: the sum over the frames
def clipsim(frames, text):
    return (frames @ text / (frames.norm(dim=1) * text.norm())).sum().item()
