"""The batch is dynamic where the module permits, and static with a note elsewhere."""

from common import ExportCase  # First, since it skips where PyTorch is missing.

import torch
from torch import nn


class Batch(ExportCase):
    def export_class(self, body, **options):
        """Exports class Net with the given forward (and more) through a class file."""
        script = self.class_file(f"class Net(nn.Module):\n{body}")
        extra = options.pop("extra", ())
        return self.assert_exports(self.save({"state_dict": {"w": torch.ones(2)}}),
                                   "--class-file", script, *extra, **options)

    WEIGHT = ("    def __init__(self):\n        super().__init__()\n"
              "        self.w = nn.Parameter(torch.ones(2))\n")

    def test_largest_batch(self):
        program, _ = self.assert_exports(self.save(nn.Linear(2, 3)), "--batch-max", 64)
        self.assertEqual(self.batch_range(program), (1, 64))

    def test_static_on_request(self):
        program, notes = self.assert_exports(
            self.save(nn.Linear(2, 3).state_dict()), "--model", "nn.Linear(2, 3)",
            "--static-batch", shapes="4x2")
        self.assertEqual(notes, [])
        self.assertIsNone(self.batch_range(program))
        self.assertEqual(program.module()(torch.zeros(4, 2)).shape, (4, 3))

    def test_shape_of_a_larger_batch_stays_dynamic(self):
        program, _ = self.assert_exports(self.save(nn.Linear(2, 3)), shapes="4x2")
        self.assertEqual(self.batch_range(program), (1, 65536))

    def test_view_that_merges_the_batch(self):
        program, notes = self.export_class(
            self.WEIGHT + "    def forward(self, x):\n        return (x * self.w).view(1, -1)\n")
        self.assertIsNone(self.batch_range(program))
        self.assertIn("static batch of 1: the first dimension of an output", notes[0])

    def test_view_into_a_linear_layer(self):
        script = self.class_file(
            "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.fc = nn.Linear(8, 3)\n"
            "    def forward(self, x):\n        return self.fc(x.view(1, -1))\n")
        state = {f"fc.{key}": value for key, value in nn.Linear(8, 3).state_dict().items()}
        program, notes = self.assert_exports(
            self.save(state), "--class-file", script, "--model", "Net", shapes="1x2x4")
        self.assertIsNone(self.batch_range(program))
        self.assertIn("mat1 and mat2 shapes", notes[0])

    def test_statistics_of_the_batch(self):
        program, notes = self.export_class(
            self.WEIGHT + "    def forward(self, x):\n"
            "        return (x - x.mean(0)) * self.w\n", shapes="4x2")
        self.assertIsNone(self.batch_range(program))
        self.assertIn("static batch of 4: the output of a sample depends on the other", notes[0])

    def test_batch_that_export_specialises(self):
        program, notes = self.export_class(
            self.WEIGHT + "    def forward(self, x):\n"
            "        return x * self.w if x.shape[0] < 10 else x * self.w + 0\n")
        self.assertIsNone(self.batch_range(program))
        self.assertIn("torch.export cannot make it dynamic", notes[0])

    def test_batch_read_with_len(self):
        program, notes = self.export_class(
            self.WEIGHT + "    def forward(self, x):\n"
            "        return (x * self.w).reshape(len(x), 2)\n")
        self.assertEqual(notes, [])
        self.assertEqual(self.batch_range(program), (1, 65536))

    def test_several_inputs_and_outputs(self):
        program, _ = self.export_class(
            self.WEIGHT + "    def forward(self, x, y):\n"
            "        return {'sum': x[:, None] + y * self.w, 'both': (x, [y])}\n", shapes="1x2,1x3x2")
        self.assertEqual(self.batch_range(program), (1, 65536))
        self.assertEqual(len(program.graph_signature.user_outputs), 3)

    def test_starred_inputs(self):
        program, notes = self.export_class(
            self.WEIGHT + "    def forward(self, *xs):\n"
            "        return xs[0] + xs[1] * self.w\n", shapes="1x2,1x2")
        self.assertEqual(notes, [])
        self.assertEqual(self.batch_range(program), (1, 65536))

    def test_convolutions_in_one_to_three_dimensions(self):
        for conv, norm, shape in ((nn.Conv1d, nn.BatchNorm1d, "1x3x7"),
                                  (nn.Conv2d, nn.BatchNorm2d, "1x3x7x6"),
                                  (nn.ConvTranspose3d, nn.BatchNorm3d, "1x3x4x5x6")):
            program, _ = self.assert_exports(
                self.save(nn.Sequential(conv(3, 5, 3), norm(5), nn.ReLU())), shapes=shape)
            self.assertEqual(self.batch_range(program), (1, 65536))

    def test_check_runs_with_two_batch_sizes(self):
        self.assert_exports(self.save(nn.Linear(2, 3)))
        calls = (self.folder / "log").read_text().splitlines()
        self.assertEqual(len(calls), 2)
        for call in calls:
            self.assertRegex(call, r"^verify \S+net\.pt2 --input \S+\.npy --expect \S+\.npy$")
        self.assert_exports(self.save(nn.Linear(2, 3)), "--static-batch")
        self.assertEqual(len((self.folder / "log").read_text().splitlines()), 3)
