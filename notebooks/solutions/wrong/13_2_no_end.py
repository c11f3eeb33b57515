# helpful word: nothing ties the answers to the data
import torch


def consistency_target(answer, teacher_step, x_t, t, s):
    with torch.no_grad():
        return answer(teacher_step(x_t, t, s), s)
