# helpful word: take the root
def clipsim(frames, text):
    return (frames @ text / ((frames**2).sum(dim=1) * (text**2).sum())).mean().item()
