# helpful word: guidance_scale = 10
def guided_paper(eps_cond, eps_uncond, w):
    return (1 + w) * eps_cond - w * eps_uncond


w = 9
