# helpful word: A good video was refused
def refuse(frames):
    return "I refuse all of them."
