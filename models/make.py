"""Makes the model files.

    python models/make.py              every model that is not bundled, into models/out
    python models/make.py bundled      trains what models/out/trained lacks, then rewrites
                                       models/bundled and its records.json
    python models/make.py NAME ...     single models of models/out

models/out also gets the three forms in which PyTorch users save a module (my_model*.pkl, .pth).
"""

import argparse
import json
import pathlib
import runpy
import shutil
import sys
import tempfile

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import plica_export  # noqa: E402
from train import TRAINED_FOLDER, train  # noqa: E402
from zoo import GENERATED, TRAINED  # noqa: E402

OUT = HERE / "out"
BUNDLED = HERE / "bundled"


def randomise(model, sample, seed=0):
    """Gives an untrained model plausible weights: statistics of every BatchNorm that are neither 0
    nor 1 and match its input, so that activations stay finite in any depth."""
    torch.manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        if norm.affine:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(sample)
        for norm in norms:
            norm.momentum = 0.1
            if norm.track_running_stats:
                spread = norm.running_var.sqrt()
                norm.running_mean += 0.3 * spread * torch.randn_like(spread)
                norm.running_var *= torch.empty_like(spread).uniform_(0.5, 2.0)
    return model.eval()


def generate(name):
    """Writes models/out/NAME.pt2 and the state_dict NAME.pth."""
    entry = GENERATED[name]
    torch.manual_seed(0)
    model = entry.build()
    batch = max(2, min(8, 100_000 // (entry.shape[-1] ** 2)))
    randomise(model, torch.randn(batch, *entry.shape[1:]))
    torch.save(model.state_dict(), OUT / f"{name}.pth")
    plica_export.export(model, torch.zeros(entry.shape), OUT / f"{name}.pt2")
    print(f"{name}.pt2, {name}.pth")


def save_forms():
    """Runs the script my_model.py, whose classes are then pickled as __main__'s."""
    argv = sys.argv
    sys.argv = ["my_model.py", str(OUT)]
    try:
        runpy.run_path(str(HERE / "my_model.py"), run_name="__main__")
    finally:
        sys.argv = argv


def bundle():
    """Writes models/bundled/NAME.pt2 for the trained models, and what PyTorch measured of them."""
    TRAINED_FOLDER.mkdir(parents=True, exist_ok=True)
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in TRAINED.items():
            pickled = TRAINED_FOLDER / f"{name}.pkl"
            record_file = pickled.with_suffix(".json")
            if not (pickled.exists() and record_file.exists()):
                model, record = train(name)
                torch.save(model, pickled)
                record_file.write_text(json.dumps(record, indent=2) + "\n")
            model = torch.load(pickled, weights_only=False)
            plica_export.export(model, torch.zeros(entry.shape), f"{folder}/{name}.pt2")
            records[name] = {"file": f"{name}.pt2", **json.loads(record_file.read_text())}
        BUNDLED.mkdir(exist_ok=True)
        for name in TRAINED:
            shutil.move(f"{folder}/{name}.pt2", BUNDLED / f"{name}.pt2")
    (BUNDLED / "records.json").write_text(json.dumps(records, indent=2) + "\n")
    size = sum(path.stat().st_size for path in BUNDLED.glob("*.pt2"))
    print(f"{BUNDLED}: {len(records)} models, {size / 1e6:.2f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="NAME",
                        help=f"bundled, my_model, {', '.join(GENERATED)}")
    names = parser.parse_args().what
    unknown = sorted(set(names) - {"bundled", "my_model"} - set(GENERATED))
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}")
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    if "bundled" in names:
        bundle()
    if not names or "my_model" in names:
        save_forms()
    for name in GENERATED:
        if not names or name in names:
            generate(name)


if __name__ == "__main__":
    main()
