"""What export.py cannot do it refuses in one line that says why."""

import pathlib
import pickle
import subprocess
import sys
import zipfile

from common import ROOT, ExportCase  # First, since it skips where PyTorch is missing.

import torch
from torch import nn


class Files(ExportCase):
    def test_missing_file(self):
        self.assert_refuses(self.folder / "none.pth", saying="no such file")
        self.assert_refuses(self.folder, saying="no such file")

    def test_garbage(self):
        for content in (b"", b"hello", b"\x80", bytes(range(256)) * 10, b"PK\x03\x04" + bytes(40)):
            path = self.folder / "garbage.pth"
            path.write_bytes(content)
            self.assert_refuses(path, saying="garbage.pth")

    def test_truncated(self):
        data = self.save(nn.Linear(2, 3)).read_bytes()
        for size in (10, len(data) // 2, len(data) - 10):
            path = self.folder / "cut.pth"
            path.write_bytes(data[:size])
            self.assert_refuses(path, saying="cut.pth")

    def test_other_objects(self):
        for value, saying in ((torch.zeros(2), "holds a Tensor"), ([1, 2], "holds a list"),
                              ({}, "--state-key"), ({"epoch": 1}, "epoch")):
            self.assert_refuses(self.save(value), saying=saying)

    def test_archives_of_other_exporters(self):
        torch.export.save(torch.export.export(nn.Linear(2, 3), (torch.zeros(1, 2),)),
                          self.folder / "done.pt2")
        self.assert_refuses(self.folder / "done.pt2", saying="already a file of torch.export.save")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)),
                       self.folder / "script.pt")
        self.assert_refuses(self.folder / "script.pt", saying="TorchScript")

    def test_plain_pickle_of_a_module_is_read(self):
        path = self.folder / "plain.pkl"
        path.write_bytes(pickle.dumps(nn.Linear(2, 3)))
        self.assert_exports(path)


class Classes(ExportCase):
    def test_class_without_class_file(self):
        self.assert_refuses(self.saved / "builtin.pkl",
                            saying=["the class 'BuiltIn'", "--class-file"])

    def test_class_missing_from_class_file(self):
        script = self.class_file("class Other(nn.Module):\n    pass\n")
        self.assert_refuses(self.saved / "builtin.pkl", "--class-file", script,
                            saying=["'BuiltIn'", "does not define it"])

    def test_class_file_errors(self):
        for text, saying in (("class Net(:\n", "not a Python file"),
                             ("import nothing_of_this_name\n"
                              "class BuiltIn(nothing_of_this_name.X):\n    pass\n",
                              "No module named"),
                             ("class BuiltIn(undefined):\n    pass\n", "undefined")):
            self.assert_refuses(self.saved / "builtin.pkl", "--class-file", self.class_file(text),
                                saying=["classes.py", saying])
        self.assert_refuses(self.saved / "builtin.pkl", "--class-file", self.folder / "none.py",
                            saying=["none.py", "No such file"])

    def test_imports_that_only_training_needs(self):
        script = self.class_file(
            "import nothing_of_this_name as absent\nfrom nothing_of_this_name import other\n"
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
            "    def fit(self):\n        absent.plot(other)\n")
        self.assert_exports(self.save(nn.Linear(2, 2).state_dict()), "--class-file", script)
        self.output.unlink()
        for base in ("absent.Net", "other", "other()"):
            script = self.class_file(
                "import nothing_of_this_name as absent\nfrom nothing_of_this_name import other\n"
                f"class Net({base}):\n    pass\n")
            self.assert_refuses(self.save(nn.Linear(2, 2).state_dict(), "other.pth"),
                                "--class-file", script, "--model", "Net()",
                                saying="No module named 'nothing_of_this_name'")

    def test_class_file_that_parses_arguments(self):
        script = self.class_file(
            "import argparse\nargs = argparse.ArgumentParser().parse_args(['--size', '3'])\n"
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(args.size, 2)\n")
        self.assert_refuses(self.save(nn.Linear(2, 2).state_dict()), "--class-file", script,
                            "--model", "Net()", saying=["classes.py:4", "SystemExit"])

    def test_class_of_a_module_that_is_not_installed(self):
        data = b"\x80\x02cnothing_of_this_name\nNet\n)\x81."
        path = self.folder / "saved.pkl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("saved/data.pkl", data)
            archive.writestr("saved/version", "3\n")
        self.assert_refuses(path, saying=["nothing_of_this_name.Net", "--class-file"])

    def test_state_dict_without_model(self):
        self.assert_refuses(self.saved / "builtin.pth", saying=["--class-file", "--model"])
        self.assert_refuses(self.saved / "builtin.pth", "--class-file", self.script,
                            saying=["--model", "BatchNorm, BuiltIn, Custom"])

    def test_model_expression(self):
        state = self.saved / "builtin.pth"
        for model, saying in (("BuiltIn(2", "not a Python expression"),
                              ("BuiltIn(2)", "missing 1 required positional argument"),
                              ("BuiltIn", "missing 2 required positional arguments"),
                              ("Absent(2)", "'Absent'"), ("3", "a int, not a torch.nn.Module")):
            self.assert_refuses(state, "--class-file", self.script, "--model", model,
                                saying=saying)
        self.assert_refuses(state, "--model", "BuiltIn(2, 3)", saying="--class-file")

    def test_state_key(self):
        checkpoint = self.saved / "builtin_checkpoint.pth"
        self.assert_refuses(checkpoint, "--state-key", "absent",
                            saying=["absent", "model_state_dict"])
        self.assert_refuses(checkpoint, "--state-key", "accuracy", saying="neither a state_dict")
        self.assert_refuses(self.save({"a": {"x": torch.ones(1)}, "b": {"x": torch.ones(1)}}),
                            saying=["--state-key", "a, b"])


class Keys(ExportCase):
    def assert_unfit(self, state, saying):
        self.assert_refuses(self.save(state), "--model",
                            "nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))", saying=saying)

    def setUp(self):
        super().setUp()
        self.state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()

    def test_missing(self):
        del self.state["0.bias"], self.state["1.running_var"]
        self.assert_unfit(self.state, "missing keys: 0.bias, 1.running_var")

    def test_unexpected(self):
        self.state["2.weight"] = torch.ones(1)
        self.assert_unfit(self.state, "unexpected keys: 2.weight")

    def test_wrong_shapes(self):
        self.state["0.weight"] = torch.ones(4, 2)
        self.assert_unfit(self.state,
                          "wrong shapes: 0.weight ([4, 2] in the file, [3, 2] in the model)")

    def test_all_at_once(self):
        self.state["0.weight"] = torch.ones(4, 2)
        self.state["extra"] = self.state.pop("1.running_mean")
        self.assert_unfit(self.state, ["missing keys: 1.running_mean; unexpected keys: extra; "
                                       "wrong shapes: 0.weight"])


class Modules(ExportCase):
    def test_wrong_layer_size(self):
        model = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.ReLU(), nn.Linear(5, 3)))
        self.assert_refuses(self.save(model), saying=[
            "1.1 (Linear)", "mat1 and mat2 shapes cannot be multiplied (1x4 and 5x3)"])

    def test_wrong_input_shape(self):
        self.assert_refuses(self.save(nn.Conv2d(3, 4, 3)), shapes="1x1x8x8",
                            saying=["1x1x8x8", "Conv2d", "expected input"])

    def test_too_few_inputs(self):
        self.assert_refuses(self.save(nn.Bilinear(2, 3, 4)), saying=["Bilinear", "missing"])

    def test_random_in_eval_mode(self):
        script = self.class_file(
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 64)\n"
            "    def forward(self, x):\n"
            "        return nn.functional.dropout(super().forward(x))\n")
        self.assert_refuses(self.save(nn.Linear(2, 64).state_dict()), "--class-file", script,
                            saying="random in eval mode")

    def test_batch_norm_always_in_training_mode(self):
        script = self.class_file(
            "class Net(nn.BatchNorm1d):\n    def forward(self, x):\n"
            "        return nn.functional.batch_norm(x, self.running_mean.clone(),\n"
            "            self.running_var.clone(), self.weight, self.bias, True)\n")
        self.assert_refuses(self.save(nn.BatchNorm1d(2).state_dict()), "--class-file", script,
                            "--model", "Net(2)", shapes="4x2",
                            saying="batch_norm is in training mode")

    def test_buffers_that_change_in_eval_mode(self):
        script = self.class_file(
            "class Net(nn.BatchNorm1d):\n    def __init__(self):\n        super().__init__(2)\n"
            "    def forward(self, x):\n        self.num_batches_tracked.add_(1)\n"
            "        return super().forward(x)\n")
        self.assert_refuses(self.save(nn.BatchNorm1d(2).state_dict()), "--class-file", script,
                            saying=["changes its buffers", "num_batches_tracked"])

    def test_outputs_that_are_no_tensors(self):
        script = self.class_file(
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
            "    def forward(self, x):\n        return x.sum().item()\n")
        self.assert_refuses(self.save(nn.Linear(2, 2).state_dict()), "--class-file", script,
                            saying="returns a float")

    def test_control_flow_on_data(self):
        script = self.class_file(
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
            "    def forward(self, x):\n"
            "        return super().forward(x) if x.sum() > 0 else x\n")
        self.assert_refuses(self.save(nn.Linear(2, 2).state_dict()), "--class-file", script,
                            saying="torch.export refuses the model")


class Check(ExportCase):
    def test_difference_is_exit_code_1(self):
        code, out, err = self.run_export(self.save(nn.Linear(2, 3)),
                                         plica=self.fake_plica(1, "out0 differs by 3"))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("out0 differs by 3", err[-1])
        self.assertTrue(self.output.exists())

    def test_what_plica_refuses(self):
        self.assert_refuses(self.save(nn.Linear(2, 3)), plica=self.fake_plica(2, "unknown op"),
                            saying="plica cannot run the model: unknown op")

    def test_absent_plica(self):
        self.assert_refuses(self.save(nn.Linear(2, 3)), plica=self.folder / "absent",
                            saying="no such program")


class Usage(ExportCase):
    def test_arguments(self):
        saved = self.save(nn.Linear(2, 3))
        for shapes in ("", "2y3", "1x", "x", "1x-2", "1x0", "1x2,", "99999999999x2"):
            self.assert_refuses(saved, shapes=shapes, saying="--shapes")
        self.assert_refuses(saved, "--batch-max", "0", saying="--batch-max")
        self.assert_refuses(saved, "--unknown", saying="--unknown")

    def test_output(self):
        saved = self.save(nn.Linear(2, 3))
        self.output = self.folder / "net.onnx"
        self.assert_refuses(saved, saying=".pt2")
        self.output = self.folder / "absent" / "net.pt2"
        self.assert_refuses(saved, saying="no such folder")

    def test_as_a_program(self):
        command = [sys.executable, str(ROOT / "tools" / "export.py")]
        done = subprocess.run([*command, "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("trust", done.stdout)
        done = subprocess.run([*command, "none.pth", "--shapes", "1x2", "--output", "a.pt2"],
                              capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertFalse(pathlib.Path(self.folder, "a.pt2").exists())
