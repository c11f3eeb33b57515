# helpful word: good practice
import torch


def least_squares(x, y, ridge=1e-6):
    X = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    eye = torch.eye(X.shape[1])
    eye[-1, -1] = 0
    W = torch.linalg.solve(X.T @ X + ridge * len(X) * eye, X.T @ y)
    return W[:-1], W[-1]
