"""Trains the bundled models into models/out/trained: a pickled module and a record for each.

    python models/train.py [NAME ...]     all of them without a name; a few minutes on one core
"""

import argparse
import json
import pathlib

import torch

from training import train_circles, train_fashion_mnist
from zoo import TRAINED

TRAINED_FOLDER = pathlib.Path(__file__).parent / "out" / "trained"
EPOCHS = {"lenet_bn": 5, "lenet_bn_custom": 5, "mlp": 5, "mlp_bn": 5, "mlp_bn_custom": 5}


def train(name):
    """Trains one model from a fixed seed; returns the module and its record."""
    torch.manual_seed(1)
    entry = TRAINED[name]
    model = entry.build()
    if entry.data == "circles":
        _, record = train_circles(name, model)
    else:
        record = train_fashion_mnist(name, model, EPOCHS[name])
    record["parameters"] = sum(p.numel() for p in model.parameters())
    record["torch"] = torch.__version__
    return model, record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TRAINED))
    names = parser.parse_args().names or list(TRAINED)
    unknown = sorted(set(names) - set(TRAINED))
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}")
    torch.set_num_threads(1)
    TRAINED_FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        model, record = train(name)
        torch.save(model, TRAINED_FOLDER / f"{name}.pkl")
        text = json.dumps(record, indent=2) + "\n"
        (TRAINED_FOLDER / f"{name}.json").write_text(text)
        print(f"{name}: {record['correct']} of {record['samples']} correct "
              f"({record['accuracy']:.2%})")


if __name__ == "__main__":
    main()
