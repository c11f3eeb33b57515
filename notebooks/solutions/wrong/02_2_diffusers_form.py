# helpful word: (1 + w)
def guided_paper(eps_cond, eps_uncond, w):
    return eps_uncond + w * (eps_cond - eps_uncond)


w = 8
