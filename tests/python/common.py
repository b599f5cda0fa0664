"""What the Python tests share. Run them with
    python -m unittest discover -s tests/python
"""

import contextlib
import importlib.util
import io
import pathlib
import runpy
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "models")]

if importlib.util.find_spec("torch") is None:
    raise unittest.SkipTest("needs PyTorch: pip install torch==2.13.0")

import torch  # noqa: E402

import export  # noqa: E402

torch.set_num_threads(1)

# A training script of the kind that users have: it trains when it runs, it imports what a machine
# without the training set-up lacks, and it writes a file named "ran" to show that it ran.
SCRIPT = '''
import pathlib
import sys

import torch
from torch import nn
{imports}

FOLDER = pathlib.Path({folder!r})
EPS = 1e-5


def batch_norm(x, gamma, beta, moving_mean, moving_var):
    if not torch.is_grad_enabled():
        x_hat = (x - moving_mean) / torch.sqrt(moving_var + EPS)
    else:
        mean = x.mean(dim=0, keepdim=True)
        var = ((x - mean) ** 2).mean(dim=0, keepdim=True)
        x_hat = (x - mean) / torch.sqrt(var + EPS)
        moving_mean = 0.5 * moving_mean + 0.5 * mean
        moving_var = 0.5 * moving_var + 0.5 * var
    return gamma * x_hat + beta, moving_mean.data, moving_var.data


class BatchNorm(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(1, features) + 0.5)
        self.beta = nn.Parameter(torch.randn(1, features))
        self.moving_mean = torch.zeros(1, features)
        self.moving_var = torch.ones(1, features)

    def forward(self, x):
        y, self.moving_mean, self.moving_var = batch_norm(
            x, self.gamma, self.beta, self.moving_mean, self.moving_var)
        return y


class BuiltIn(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, 5)
        self.bn1 = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(5, outputs)

    def forward(self, x):
        return self.fc2(self.drop(torch.relu(self.bn1(self.fc1(x)))))


class Custom(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, 5)
        self.bn1 = BatchNorm(5)
        self.fc2 = nn.Linear(5, outputs)

    def forward(self, x):
        return self.fc2(torch.relu(self.bn1(self.fc1(x))))


torch.manual_seed(0)
(FOLDER / "ran").touch()
for cls in (BuiltIn, Custom):
    model = cls(2, 3)
    for step in range(5):
        model(torch.randn(16, 2) * 3 + 1)
    if __name__ == "__main__":
        name = cls.__name__.lower()
        torch.save(model, FOLDER / (name + ".pkl"))
        torch.save(model.state_dict(), FOLDER / (name + ".pth"))
        torch.save({{
            "init_params": {{"inputs": 2, "outputs": 3}},
            "accuracy": 0.5,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": torch.optim.SGD(model.parameters(), lr=0.1).state_dict(),
        }}, FOLDER / (name + "_checkpoint.pth"))
        with torch.no_grad():
            probe = torch.linspace(-2, 2, 14).reshape(7, 2)
            torch.save(model.eval()(probe), FOLDER / (name + "_probe.pt"))
'''


def probe():
    """The input [7, 2] whose outputs the script saves."""
    return torch.linspace(-2, 2, 14).reshape(7, 2)


class ExportCase(unittest.TestCase):
    """Runs export.py in this process, with a plica that agrees unless told otherwise."""

    @classmethod
    def setUpClass(cls):
        cls._shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._shared.cleanup)
        cls.saved = pathlib.Path(cls._shared.name)
        running = cls.saved / "run.py"
        running.write_text(SCRIPT.format(folder=str(cls.saved), imports=""))
        runpy.run_path(str(running), run_name="__main__")
        (cls.saved / "ran").unlink()
        cls.script = cls.saved / "train.py"
        cls.script.write_text(SCRIPT.format(
            folder=str(cls.saved), imports="import a_plotting_library_not_installed_here as plt"))

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.output = self.folder / "net.pt2"
        self.plica = self.fake_plica(0)

    def fake_plica(self, code, message=""):
        """A plica that logs its arguments, says the message and exits with the code."""
        path = self.folder / f"plica{code}"
        path.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/log"\n'
                        f'echo "{message}" >&2\nexit {code}\n')
        path.chmod(0o755)
        return path

    def save(self, value, name="saved.pth"):
        path = self.folder / name
        torch.save(value, path)
        return path

    def class_file(self, text, name="classes.py"):
        path = self.folder / name
        path.write_text("import torch\nfrom torch import nn\n" + text)
        return path

    def run_export(self, *args, shapes="1x2", plica=None):
        """Returns the exit code, what was printed, and the lines of stderr."""
        argv = [*map(str, args), "--shapes", shapes, "--output", str(self.output),
                "--plica", str(plica or self.plica)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = export.main(argv)
            except SystemExit as stop:
                code = stop.code
        return code, out.getvalue(), err.getvalue().splitlines()

    def assert_exports(self, *args, **options):
        """Returns the written program and the notes."""
        code, out, err = self.run_export(*args, **options)
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 1)
        for line in err:
            self.assertTrue(line.startswith("note: "), line)
        return torch.export.load(self.output), err

    def assert_refuses(self, *args, saying, **options):
        """Exit code 2, one error line with each of the texts, and no file."""
        code, out, err = self.run_export(*args, **options)
        self.assertEqual(code, 2, (out, err))
        errors = [line for line in err if not line.startswith("note: ")]
        self.assertEqual(len(errors), 1, err)
        self.assertTrue(errors[0].startswith("export.py: error: "), errors)
        for text in [saying] if isinstance(saying, str) else saying:
            self.assertIn(text, errors[0])
        self.assertFalse(self.output.exists())
        return errors[0]

    def batch_range(self, program):
        """The (smallest, largest) batch, or None if it is fixed."""
        ranges = list(program.range_constraints.values())
        return (int(ranges[0].lower), int(ranges[0].upper)) if ranges else None
