"""export.py turns every usual form of a saved model into the same program."""

import copy
import zipfile

from common import ExportCase, probe  # First, since it skips where PyTorch is missing.

import torch
from torch import nn


class Forms(ExportCase):
    def assert_probe(self, program, name):
        expected = torch.load(self.saved / f"{name}_probe.pt")
        with torch.no_grad():
            torch.testing.assert_close(program.module()(probe()), expected, rtol=0, atol=1e-5)

    def test_whole_module_saved_in_training_mode(self):
        program, notes = self.assert_exports(
            self.saved / "builtin.pkl", "--class-file", self.script)
        self.assert_probe(program, "builtin")
        self.assertEqual(self.batch_range(program), (1, 65536))
        self.assertIn("ran code", notes[0])

    def test_class_file_does_not_train(self):
        self.assert_exports(self.saved / "builtin.pkl", "--class-file", self.script)
        self.assertFalse((self.saved / "ran").exists())

    def test_checkpoint_dict_without_further_hints(self):
        for model in ("BuiltIn(2, 3)", "BuiltIn"):
            program, notes = self.assert_exports(
                self.saved / "builtin_checkpoint.pth", "--class-file", self.script,
                "--model", model)
            self.assert_probe(program, "builtin")
            self.assertEqual(notes, [])

    def test_checkpoint_dict_with_state_key(self):
        program, _ = self.assert_exports(
            self.saved / "builtin_checkpoint.pth", "--class-file", self.script,
            "--model", "BuiltIn(2, 3)", "--state-key", "model_state_dict")
        self.assert_probe(program, "builtin")

    def test_plain_state_dict(self):
        program, notes = self.assert_exports(
            self.saved / "builtin.pth", "--class-file", self.script, "--model", "BuiltIn(2, 3)")
        self.assert_probe(program, "builtin")
        self.assertEqual(notes, [])

    def test_model_of_torch_classes_needs_no_class_file(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.assert_exports(self.save(model))
        self.assert_exports(self.save(model.state_dict()),
                            "--model", "nn.Sequential(nn.Linear(2, 3), torch.nn.ReLU())")

    def test_only_class_of_a_file_needs_no_model(self):
        script = self.class_file("class Net(nn.Linear):\n"
                                 "    def __init__(self):\n        super().__init__(2, 4)\n")
        self.assert_exports(self.save(nn.Linear(2, 4).state_dict()), "--class-file", script)

    def test_module_as_entry_of_a_checkpoint(self):
        self.assert_exports(self.save({"epoch": 3, "model": nn.Linear(2, 4)}))

    def test_hand_written_batch_norm_from_whole_module(self):
        program, _ = self.assert_exports(self.saved / "custom.pkl", "--class-file", self.script)
        self.assert_probe(program, "custom")
        self.assertEqual([node.target.name() for node in program.graph.nodes
                          if node.op == "call_function"].count("aten::mean.dim"), 0)

    def test_hand_written_batch_norm_from_state_dict(self):
        for name in ("custom.pth", "custom_checkpoint.pth"):
            self.assert_refuses(
                self.saved / name, "--class-file", self.script, "--model", "Custom(2, 3)",
                saying=["bn1.moving_mean, bn1.moving_var", "--allow-untracked"])
        _, notes = self.assert_exports(
            self.saved / "custom.pth", "--class-file", self.script, "--model", "Custom(2, 3)",
            "--allow-untracked")
        self.assertIn("bn1.moving_mean, bn1.moving_var", notes[0])

    def test_batch_norm_without_running_statistics(self):
        model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
        _, notes = self.assert_exports(self.save(model), shapes="1x2x4x4")
        self.assertTrue(any("1: batch_norm has no running statistics" in note for note in notes))

    def test_weight_norm_and_pruning_are_not_untracked(self):
        def build():
            torch.manual_seed(0)
            layer = nn.utils.prune.identity(nn.Linear(2, 3), "weight")
            return nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), layer)
        import torch.nn.utils.prune  # noqa: F401
        script = self.class_file(
            "import torch.nn.utils.prune\ndef build():\n"
            "    layer = nn.utils.prune.identity(nn.Linear(2, 3), 'weight')\n"
            "    return nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), layer)\n")
        model = build()
        program, _ = self.assert_exports(
            self.save(model.state_dict()), "--class-file", script, "--model", "build()")
        with torch.no_grad():
            torch.testing.assert_close(program.module()(probe()), model(probe()))

    def test_data_parallel_and_compiled_prefixes(self):
        state = nn.Linear(2, 3).state_dict()
        for prefix in ("module.", "_orig_mod.", "_orig_mod.module."):
            renamed = {prefix + key: value for key, value in state.items()}
            _, notes = self.assert_exports(self.save(renamed), "--model", "nn.Linear(2, 3)")
            self.assertIn("prefix", notes[0])

    def test_data_parallel_module(self):
        model = nn.Linear(2, 3)
        program, _ = self.assert_exports(self.save(nn.DataParallel(model)))
        with torch.no_grad():
            torch.testing.assert_close(program.module()(probe()), model(probe()))

    def test_other_float_types_become_float32(self):
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(dtype)
            name = str(dtype).removeprefix("torch.")
            for saved, extra in ((model, ()), (model.state_dict(), (
                    "--model", "nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))"))):
                program, notes = self.assert_exports(self.save(saved), *extra)
                self.assertTrue(any(f"converted to float32 from {name}" in n for n in notes))
                self.assertEqual(program.state_dict["0.weight"].dtype, torch.float32)

    def test_state_dict_without_num_batches_tracked(self):
        state = nn.BatchNorm1d(2).state_dict()
        del state["num_batches_tracked"]
        self.assert_exports(self.save(state), "--model", "nn.BatchNorm1d(2)")

    def test_class_pickled_under_a_module_name(self):
        script = self.class_file("class Net(nn.Linear):\n    pass\nraise SystemExit(3)\n", "net.py")
        namespace = {"__name__": "net"}
        exec("from torch import nn\nclass Net(nn.Linear):\n    pass\n", namespace)
        import sys
        import types
        sys.modules["net"] = types.ModuleType("net")
        sys.modules["net"].Net = namespace["Net"]
        saved = self.save(namespace["Net"](2, 2))
        del sys.modules["net"]
        self.assert_exports(saved, "--class-file", script)

    def test_device_of_the_training_machine(self):
        script = self.class_file(
            "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
            "        self.device = torch.device('cuda:0')\n"
            "    def forward(self, x):\n        return super().forward(x.to(self.device))\n")
        _, notes = self.assert_exports(self.save(nn.Linear(2, 2).state_dict()),
                                       "--class-file", script)
        self.assertIn("device: changed from device cuda:0 to cpu", notes[0])

    def test_file_names_nothing_of_this_machine(self):
        self.assert_exports(self.saved / "builtin.pkl", "--class-file", self.script)
        with zipfile.ZipFile(self.output) as archive:
            for entry in archive.infolist():
                data = archive.read(entry)
                self.assertNotIn(b"site-packages", data)
                self.assertNotIn(str(self.saved).encode(), data)
                if "sample_inputs" in entry.filename:
                    self.assertEqual(len(data), 0)

    def test_library_leaves_the_module_alone(self):
        import plica_export
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double().train()
        before = copy.deepcopy(model.state_dict())
        plica_export.export(model, torch.zeros(1, 2), self.output)
        self.assertTrue(model.training)
        for key, value in model.state_dict().items():
            self.assertTrue(torch.equal(value, before[key]))
            self.assertEqual(value.dtype, before[key].dtype)
        self.assertTrue(all(p.requires_grad for p in model.parameters()))
