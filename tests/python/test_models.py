"""The bundled models are what the records say."""

import json
import unittest

from common import ROOT  # First, since it skips where PyTorch is missing.

import numpy as np
import torch

import datasets
from training import evaluate
from zoo import TRAINED

BUNDLED = ROOT / "models" / "bundled"
# sklearn.datasets.make_circles(2000, noise=0.1, factor=0.4, random_state=42)
FIRST_POINTS = [[0.1255014483273854, -0.1921226183724637], [-0.649699661820214, 0.8324448277116425]]
FIRST_LABELS = [1, 0, 1, 0, 1, 1, 0, 1]


class Datasets(unittest.TestCase):
    def test_circles_are_scikit_learns(self):
        points, labels = datasets.make_circles(2000, noise=0.1, factor=0.4, random_state=42)
        np.testing.assert_array_equal(points[:2], FIRST_POINTS)
        self.assertEqual(labels[:8].tolist(), FIRST_LABELS)
        self.assertEqual(int(labels.sum()), 1000)


class Bundled(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.records = json.loads((BUNDLED / "records.json").read_text())

    def test_every_model_has_a_record(self):
        self.assertEqual(set(self.records), set(TRAINED))
        self.assertEqual({path.stem for path in BUNDLED.glob("*.pt2")}, set(TRAINED))
        self.assertLess(sum(path.stat().st_size for path in BUNDLED.iterdir()), 2_000_000)

    def test_accuracy_is_what_pytorch_measures(self):
        for name, record in self.records.items():
            with self.subTest(name):
                if record["data"]["set"] == "FashionMNIST":
                    if not datasets.FASHION_MNIST.is_dir():
                        self.skipTest("needs the Debian package dataset-fashion-mnist")
                    inputs, labels = datasets.fashion_mnist("t10k")
                else:
                    inputs, labels = (part[1600:] for part in datasets.circles())
                program = torch.export.load(BUNDLED / record["file"])
                module = program.module()
                module.eval = lambda: module  # An exported program cannot switch.
                self.assertEqual(evaluate(module, inputs, labels)["correct"], record["correct"])
                parameters = sum(p.numel() for p in program.parameters())
                self.assertEqual(parameters, record["parameters"])
