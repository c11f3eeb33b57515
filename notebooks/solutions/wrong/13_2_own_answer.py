# helpful word: compared with itself
def consistency_target(answer, teacher_step, x_t, t, s):
    return answer(x_t, t).detach()
