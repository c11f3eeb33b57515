# helpful word: That is the way back
import torch


def find_order(z, other):
    c = z.shape[1]
    return torch.corrcoef(torch.cat([z, other], dim=1).T)[:c, c:].argmax(dim=1).tolist()
