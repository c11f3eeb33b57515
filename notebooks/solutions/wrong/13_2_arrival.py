# helpful word: still noisy
def consistency_target(answer, teacher_step, x_t, t, s):
    return teacher_step(x_t, t, s)
