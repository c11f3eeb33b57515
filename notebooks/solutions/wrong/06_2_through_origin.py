# helpful word: through the origin
import torch


def least_squares(x, y, ridge=1e-6):
    X = x.double()
    eye = torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
    left = X.T @ X + ridge * len(X) * eye
    W = torch.linalg.solve(left, X.T @ y.double()).to(x.dtype)
    return W, torch.zeros(y.shape[1])
