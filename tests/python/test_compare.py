"""Tests of bench/compare that need neither peers nor PyTorch.

    python3 -m unittest tests/python/test_compare.py
"""

import contextlib
import html.parser
import io
import json
import math
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from plica_compare import (cli, environment, machine, measure, models, process, progress,  # noqa: E402
                           report_html, report_markdown, saved_program, statistics, svg)
from plica_compare.peers import ENGINES  # noqa: E402


class Statistics(unittest.TestCase):
    def test_median_of_odd_and_even_counts(self):
        self.assertEqual(statistics.median([3, 1, 2]), 2)
        self.assertEqual(statistics.median([4, 1, 3, 2]), 2.5)
        with self.assertRaises(ValueError):
            statistics.median([])

    def test_percentile_is_the_nearest_rank(self):
        values = list(range(1, 101))
        self.assertEqual(statistics.percentile(values, 0.99), 99)
        self.assertEqual(statistics.percentile(values, 1), 100)
        self.assertEqual(statistics.percentile(values, 0), 1)
        self.assertEqual(statistics.percentile([7], 0.5), 7)

    def test_geometric_mean(self):
        self.assertAlmostEqual(statistics.geometric_mean([1, 4]), 2)

    def test_thinning_keeps_the_extremes(self):
        thin = statistics.thinned(list(range(1000)), 11)
        self.assertEqual((len(thin), thin[0], thin[-1]), (11, 0, 999))
        self.assertEqual(statistics.thinned([2, 1], 11), [1, 2])

    def test_ratios_divide_within_a_round(self):
        # The machine gets twice as slow in the second round: the ratio does not notice.
        found = statistics.ratios({"plica": [1, 2, 1], "peer": [3, 6, 3]}, "plica")
        self.assertEqual(found, {"peer": {"median": 3, "low": 3, "high": 3}})

    def test_ratios_skip_rounds_without_either(self):
        found = statistics.ratios({"plica": [1, None, 1], "peer": [2, 5, None]}, "plica")
        self.assertEqual(found["peer"]["median"], 2)
        self.assertEqual(statistics.ratios({"peer": [1]}, "plica"), {})

    def test_best_peer_is_the_fastest_allowed(self):
        found = {"a": {"median": 1.5}, "b": {"median": 1.2}}
        self.assertEqual(statistics.best_peer(found, {"a", "b"}), "b")
        self.assertEqual(statistics.best_peer(found, {"a"}), "a")
        self.assertIsNone(statistics.best_peer(found, set()))

    def test_relative_error_never_takes_nan_for_equal(self):
        self.assertEqual(statistics.relative_error([1, 2.5], [1, 2]), 0.25)
        for output in ([math.nan, 2], [math.inf, 2], [1], []):
            self.assertEqual(statistics.relative_error(output, [1, 2]), math.inf)


def result(median, error=1e-7):
    return {"median": median, "p99": 2 * median, "low": median, "high": median, "fastest": median,
            "runs": 10, "group": 1, "rounds": [median], "quantiles": [median, median * 1.5],
            "error": error, "cold_start": 0.1, "first_run": 0.01, "load": 0.09, "rss_before": 1,
            "peak_rss": 12_345_678}


def results(cases):
    return {"machine": {"cpu": "A <CPU>", "family_model_stepping": "6/85/7", "processors": 2,
                        "instruction_sets": ["avx2"], "caches": {"L2": "1024K"},
                        "load_average": 0.1, "target": "AVX2",
                        "peaks": [{"threads": 1, "gflops": 100, "l2_gbs": 80, "memory_gbs": 10}]},
            "commit": "abc", "seconds": 1, "titles": {n: e.title for n, e in ENGINES.items()},
            "notes": {}, "versions": {"onnxruntime": "1.0"}, "cases": cases}


def case(engines, rounds, model="resnet18", batch=1):
    entry = {"model": model, "batch": batch, "threads": 1, "measured": "2000-01-01 00:00",
             "gflop": models.spec(model).gflop * batch, "engines": engines, "remarks": {},
             "facts": {"weight_bytes": 4e6, "input_elements": 10, "output_elements": 10}}
    return {**entry, **measure.compare(engines, rounds)}


class Reports(unittest.TestCase):
    def setUp(self):
        engines = {"plica": result(0.01), "onnxruntime": result(0.015),
                   "mnn": result(0.001, error=2e-3), "ncnn": {"error_message": "no <operator>"}}
        rounds = {"plica": [0.01], "onnxruntime": [0.015], "mnn": [0.001]}
        tiny = {"plica": result(2e-7), "onnxruntime": result(4e-6)}
        self.results = results([
            case(engines, rounds),
            case(tiny, {"plica": [2e-7], "onnxruntime": [4e-6]}, model="lenet"),
            case({"plica": {"error_message": "cannot load"}}, {}, model="unet")])

    def test_a_peer_with_a_large_error_is_never_the_best(self):
        self.assertEqual(self.results["cases"][0]["best_peer"], "onnxruntime")
        self.assertIn("(1)", report_markdown.engine_table(self.results, 1))

    def test_markdown_is_aligned_and_complete(self):
        text = report_markdown.render(self.results)
        self.assertIn("ncnn: no <operator> (resnet18)", text)
        self.assertIn("Plica: cannot load (unet)", text)
        table = [line for line in report_markdown.ratio_table(self.results, 1).splitlines()
                 if line.startswith("|")]
        self.assertEqual(len({len(line) for line in table}), 1)
        self.assertIn("1.50", table[2])
        self.assertIn("20.00", table[3])

    def test_the_mean_leaves_tiny_models_out(self):
        self.assertAlmostEqual(report_markdown.mean_ratio(self.results, 1), 1.5)
        self.assertIsNone(report_markdown.mean_ratio(self.results, 2))

    def test_significant_digits(self):
        self.assertEqual(report_markdown.significant(999.7), "1000")
        self.assertEqual(report_markdown.significant(1235.2), "1235")
        self.assertEqual(report_markdown.significant(0.002534), "0.00253")
        self.assertEqual(report_markdown.significant(0), "0")

    def test_html_is_self_contained_and_well_formed(self):
        page = report_html.render(json.loads(json.dumps(self.results)))
        self.assertNotIn("A <CPU>", page)
        for forbidden in ("http:", "https:", "<script", "src=", "@import", "url("):
            self.assertNotIn(forbidden, page)
        checker = _Balance()
        checker.feed(page)
        self.assertEqual(checker.open, [])

    def test_reports_of_nothing(self):
        empty = results([])
        self.assertIn("nothing measured", report_markdown.render(empty))
        self.assertIn("</html>", report_html.render(empty))

    def test_intensity_counts_weights_input_and_output(self):
        entry = self.results["cases"][0]
        self.assertAlmostEqual(report_html.intensity(entry), 3.63e9 / (4e6 + 80))


class _Balance(html.parser.HTMLParser):
    """Which elements were opened and never closed."""

    VOID = {"meta", "br", "link"}
    OPTIONAL = {"body", "html"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID | self.OPTIONAL:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.OPTIONAL:
            return
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


class Scales(unittest.TestCase):
    def test_ends_and_clamping(self):
        for log in (False, True):
            scale = svg.Scale(1, 100, 0, 200, log)
            self.assertEqual((scale(1), scale(100), scale(1000)), (0, 200, 200))
            self.assertTrue(all(1 <= tick <= 100 for tick in scale.ticks()))
        self.assertEqual(svg.Scale(1, 100, 0, 200, True)(10), 100)

    def test_a_single_value(self):
        self.assertIn("<svg", svg.distributions([("a", [0.001, 0.001], "peer")]))

    def test_bars_of_ratios_begin_at_one(self):
        rows = [("faster", 4, 3, 5, ""), ("slower", 0.5, 0.4, 0.6, "")]
        bars = [{name: float(value) for name, value in re.findall(r'(x|width)="([\d.]+)"', bar)}
                for bar in re.findall("<rect[^>]*>", svg.ratios(rows))]
        self.assertAlmostEqual(bars[0]["x"], bars[1]["x"] + bars[1]["width"], delta=0.2)
        self.assertAlmostEqual(bars[0]["width"], 2 * bars[1]["width"], delta=0.2)


WORKER = """
import json, sys
assert sys.argv[1] == "--spawned"
def answer(value): print(json.dumps(value), flush=True)
answer({"load": 0.1, "first_run": 0.1, "cold_start": 0.2, "rss_before": 1, "peak_rss": 2})
for line in sys.stdin:
    words = line.split()
    if words[0] == "burst":
        BURST
    elif words[0] == "memory":
        answer({"peak_rss": 3})
    else:
        import array
        array.array("f", [1.0, 2.0]).tofile(open(words[1], "wb"))
        answer({"elements": 2})
"""
WORKS = 'answer({"runs": 2, "group": 1, "measured": 0.3, "seconds": [SECONDS, SECONDS]})'


class Measuring(unittest.TestCase):
    def measure(self, scripts):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            commands = {}
            for name, body in scripts.items():
                (folder / f"{name}.py").write_text(WORKER.replace("BURST", body))
                commands[name] = [sys.executable, folder / f"{name}.py"]
            said = io.StringIO()
            measurement = measure.Measurement(
                measure.Case("lenet", 1, 1), commands, None, folder, progress.Progress(1, said),
                cold_starts=2)
            found = measurement.run(1, [1.0, 2.0])
            return found, measurement.rounds()

    def test_engines_take_turns_until_each_has_had_its_time(self):
        found, rounds = self.measure({"plica": WORKS.replace("SECONDS", "0.1"),
                                      "peer": WORKS.replace("SECONDS", "0.2")})
        self.assertEqual({name: len(values) for name, values in rounds.items()},
                         {"plica": 4, "peer": 4})
        self.assertEqual((found["peer"]["median"], found["peer"]["error"]), (0.2, 0))
        self.assertEqual(len(found["peer"]["cold_starts"]), 2)
        self.assertEqual(found["peer"]["peak_rss"], 3)
        self.assertEqual(measure.compare(found, rounds)["best_peer"], "peer")
        json.dumps(found, allow_nan=False)

    def test_a_peer_that_fails_does_not_stop_the_others(self):
        found, rounds = self.measure({"plica": WORKS.replace("SECONDS", "0.1"),
                                      "says": 'answer({"error": "no such operator"})',
                                      "dies": "sys.exit('out of memory')"})
        self.assertEqual(found["says"], {"error_message": "no such operator"})
        self.assertEqual(found["dies"], {"error_message": "ended with code 1: out of memory"})
        self.assertEqual(list(rounds), ["plica"])
        self.assertIn("median", found["plica"])

    def test_a_program_that_does_not_exist(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(process.WorkerError):
            process.Worker(["/nonexistent/worker"], None, pathlib.Path(folder) / "log")


PROBE = """
#include <cstdio>
int main() {
  std::printf("%d%d%d%d", __builtin_cpu_supports("avx512f") != 0, __builtin_cpu_supports("avx2") != 0,
              __builtin_cpu_supports("avx") != 0, __builtin_cpu_supports("sse4.1") != 0);
}
"""


class MaskIsa(unittest.TestCase):
    """Against GCC's detection of the processor."""

    def test_what_is_wider_is_hidden(self):
        compiler = shutil.which("c++")
        if compiler is None or platform.machine() != "x86_64" or sys.platform != "linux":
            self.skipTest("needs a C++ compiler, Linux and x86-64")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "probe.cpp").write_text(PROBE)
            library, probe = folder / "mask.so", folder / "probe"
            subprocess.run([compiler, "-std=c++20", "-fPIC", "-shared", "-o", library,
                            ROOT / "bench/workers/mask_isa.cpp"], check=True)
            subprocess.run([compiler, "-o", probe, folder / "probe.cpp"], check=True)

            def seen(isa):
                mask = {"LD_PRELOAD": str(library), "PLICA_MASK_ISA": isa} if isa else {}
                done = subprocess.run([probe], capture_output=True, text=True,
                                      env={**os.environ, **mask})
                if done.returncode == 2 and "cannot mask" in done.stderr:
                    self.skipTest(done.stderr.strip())
                return done.stdout
            plain = seen(None)
            self.assertEqual(seen("avx2"), "0" + plain[1:])
            self.assertEqual(seen("sse4"), "000" + plain[3:])

    def test_refusals(self):
        with self.assertRaisesRegex(environment.SetupError, "was not built"):
            machine.mask_isa(pathlib.Path("/nowhere"), "avx2")
        self.assertEqual(machine.mask_isa(pathlib.Path("/nowhere"), None), {})


class SavedPrograms(unittest.TestCase):
    BATCH = {"as_expr": {"expr_str": "s0"}}

    def refusal(self, path):
        with self.assertRaises(saved_program.UnusableError) as refused:
            models.spec(str(path))
        return str(refused.exception)

    def archive(self, folder, **changes):
        graph = {"sizes": [{"as_int": 1}, {"as_int": 3}], "dtype": 7, "inputs": 1, **changes}
        specs = [{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}] * graph.pop("inputs")
        path = folder / f"{len(list(folder.iterdir()))}.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/models/model.json", json.dumps({"graph_module": {
                "signature": {"input_specs": [{"parameter": {}}, *specs]},
                "graph": {"tensor_values": {"x": graph}}}}))
        return path

    def test_a_file_is_a_model(self):
        found = models.spec(str(ROOT / "models/bundled/lenet_bn.pt2"))
        self.assertEqual(found.sample, (1, 28, 28))
        self.assertRegex(found.stem, r"^lenet_bn-[0-9a-f]{16}$")
        self.assertFalse(models.is_tiny(found.name))
        with tempfile.TemporaryDirectory() as folder:
            one = models.spec(str(self.archive(pathlib.Path(folder))))
            self.assertEqual((one.sample, one.batches), ((3,), (1,)))
            sizes = [self.BATCH, {"as_int": 2}, {"as_int": 4}]
            any_batch = models.spec(str(self.archive(pathlib.Path(folder), sizes=sizes)))
            self.assertEqual((any_batch.sample, any_batch.batches), ((2, 4), (1, 16)))
            self.assertNotEqual(one.stem, any_batch.stem)

    def test_refusals_say_why(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            sizes = [{"as_int": 1}, self.BATCH]
            self.assertIn("fixed size", self.refusal(self.archive(folder, sizes=sizes)))
            self.assertIn("float32", self.refusal(self.archive(folder, dtype=5)))
            self.assertIn("one tensor", self.refusal(self.archive(folder, inputs=2)))
            with zipfile.ZipFile(folder / "other.pt2", "w") as archive:
                archive.writestr("data.pkl", "")
            self.assertIn("not an archive of torch.export.save",
                          self.refusal(folder / "other.pt2"))
            (folder / "text.pt2").write_text("no zip")
            self.assertIn("cannot be read", self.refusal(folder / "text.pt2"))


class CommandLine(unittest.TestCase):
    def refused(self, *args):
        with contextlib.redirect_stderr(io.StringIO()) as said, \
                self.assertRaises(SystemExit) as stop:
            cli.parse_args(args)
        self.assertEqual(stop.exception.code, 2)
        return said.getvalue()

    def test_selection(self):
        args = cli.parse_args(["--models", "lenet,resnet18", "--engines", "openvino", "--threads",
                               "1", "--seconds", "0.5"])
        self.assertEqual(args.engines, ["plica", "openvino"])
        self.assertEqual([str(found) for found in cli.cases(args)],
                         ["lenet, batch 1, 1 thread", "lenet, batch 16, 1 thread",
                          "resnet18, batch 1, 1 thread", "resnet18, batch 16, 1 thread"])

    def test_refusals_name_the_culprit(self):
        self.assertIn("alexnet", self.refused("--models", "alexnet"))
        self.assertIn("torchvision.NAME", self.refused("--models", "torchvision.a/b"))
        self.assertIn("tvm", self.refused("--engines", "tvm"))
        self.assertIn("nowhere.pt2: cannot be read", self.refused("--models", "nowhere.pt2"))
        self.assertIn("'0'", self.refused("--threads", "0"))
        self.assertIn("--seconds", self.refused("--seconds", "0"))

    def test_every_engine_has_pinned_requirements(self):
        for engine in ENGINES.values():
            for group in (*environment.BASE, *engine.requirements):
                text = (environment.REQUIREMENTS / f"{group}.txt").read_text()
                for package in environment.packages(text):
                    self.assertRegex(package, r"^[a-zA-Z0-9_.-]+==[0-9][0-9a-z.]*$")


if __name__ == "__main__":
    unittest.main()
