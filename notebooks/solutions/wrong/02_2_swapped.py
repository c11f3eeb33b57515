# helpful word: changed places
def guided_paper(eps_cond, eps_uncond, w):
    return (1 + w) * eps_uncond - w * eps_cond


w = 8
