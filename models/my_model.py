"""MyModel, and a script that trains it on two circles and saves it in the three usual ways.

    python models/my_model.py FOLDER

writes my_model.pkl (the whole module, in training mode as training left it), my_model_checkpoint.pth
(a dict with the state_dict among other things) and my_model_state.pth (the plain state_dict), and the
same for the variant without BatchNorm.
"""

import sys

from torch import nn


class MyModel(nn.Module):
    """input_dim-128-64-output_dim with BatchNorm: [N, input_dim] to [N, output_dim]."""

    def __init__(self, input_dim, output_dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_dim, 128), nn.BatchNorm1d(128), nn.ReLU(),
            nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Linear(64, output_dim))

    def forward(self, x):
        return self.net(x)


class MyModelWithoutBN(nn.Module):
    """MyModel without the BatchNorms."""

    def __init__(self, input_dim, output_dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_dim, 128), nn.ReLU(),
            nn.Linear(128, 64), nn.ReLU(),
            nn.Linear(64, output_dim))

    def forward(self, x):
        return self.net(x)


def main(folder):
    import pathlib

    import torch

    from training import train_circles

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, cls in (("my_model", MyModel), ("my_model_without_bn", MyModelWithoutBN)):
        torch.manual_seed(1)
        init_params = {"input_dim": 2, "output_dim": 2}
        model = cls(**init_params)
        optimizer, record = train_circles(name, model)
        model.train()
        torch.save(model, folder / f"{name}.pkl")
        torch.save({
            "init_params": init_params,
            "accuracy": record["accuracy"],
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
        }, folder / f"{name}_checkpoint.pth")
        torch.save(model.state_dict(), folder / f"{name}_state.pth")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: my_model.py FOLDER")
    main(sys.argv[1])
