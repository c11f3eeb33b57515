# helpful word: is told the time where it began
import torch


def consistency_target(answer, teacher_step, x_t, t, s):
    with torch.no_grad():
        return answer(teacher_step(x_t, t, s), t)
