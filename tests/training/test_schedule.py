"""Learning rates: each parameter group keeps its factor."""

import torch

from bestiary.training.schedule import set_learning_rate


def test_set_learning_rate_keeps_group_factors() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [
        {"params": [parameters[0]], "factor": 1.0},
        {"params": [parameters[1]], "factor": 10.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 5.0]
