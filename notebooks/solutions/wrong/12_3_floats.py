# helpful word: floats from 0 to 1
def refuse(frames):
    if frames.ndim != 4 or frames.shape[-1] != 3:
        return "the shape is wrong: use [f h w 3]"
