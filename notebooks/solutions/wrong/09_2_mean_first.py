# helpful word: the cosine of the mean
def clipsim(frames, text):
    mean = frames.mean(dim=0)
    return (mean @ text / (mean.norm() * text.norm())).item()
