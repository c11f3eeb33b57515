# helpful word: Let the teacher take its step first
import torch


def consistency_target(answer, teacher_step, x_t, t, s):
    with torch.no_grad():
        return answer(x_t, s)
