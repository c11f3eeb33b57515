import torch


class LoRALinear(torch.nn.Module):
    """y = W x + (alpha / r) B A x beside a frozen linear layer."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        wide = base.in_features
        self.A = torch.nn.Parameter(torch.randn(rank, wide) / wide**0.5)  # [r in]
        self.B = torch.nn.Parameter(torch.zeros(base.out_features, rank))  # [out r]

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)

    def merged(self):
        return self.base.weight + self.scale * self.B @ self.A  # [out in]
