# helpful word: compares *rows*
import torch


def find_order(z, other):
    c = z.shape[1]
    return torch.corrcoef(torch.cat([z, other], dim=1))[:c, c:].argmax(dim=0).tolist()
