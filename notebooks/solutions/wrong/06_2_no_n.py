# helpful word: not times n
import torch


def least_squares(x, y, ridge=1e-6):
    X = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).double()
    eye = torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
    left = X.T @ X + ridge * eye
    W = torch.linalg.solve(left, X.T @ y.double()).to(x.dtype)
    return W[:-1], W[-1]
