# helpful word: Hold it still
def consistency_target(answer, teacher_step, x_t, t, s):
    x_s = teacher_step(x_t, t, s)
    return x_s if s < 0 else answer(x_s, s)
