# helpful word: divide by the length of the mean
def clipsim(frames, text):
    mean = (frames / frames.norm(dim=1, keepdim=True)).mean(dim=0)
    return (mean @ text / (mean.norm() * text.norm())).item()
