import torch


def consistency_target(answer, teacher_step, x_t, t, s):
    """What the student is to answer at x_t: its answer where the teacher arrives."""
    with torch.no_grad():  # held still
        x_s = teacher_step(x_t, t, s)
        return x_s if s < 0 else answer(x_s, s)
