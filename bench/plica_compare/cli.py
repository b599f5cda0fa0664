"""The command bench/compare."""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from . import build, machine, measure, models, report_html, report_markdown
from .environment import Environment, SetupError
from .exporting import Exports
from .peers import ENGINES
from .progress import Progress
from .saved_program import UnusableError

EXAMPLES = """examples:
  bench/compare                                        everything; the first time takes hours
  bench/compare --models resnet18,lenet --seconds 1    a look
  bench/compare --engines onnxruntime,openvino --threads 1 --batch 1
  bench/compare --models vgg16_bn --add                into the results of the last run
  bench/compare --models torchvision.regnet_y_400mf    any model of torchvision
  bench/compare --models net.pt2                       your own, from torch.export.save
  bench/compare --isa avx2 --models resnet18           as on a processor without AVX-512
  bench/compare --render                               writes the reports of the last run again

environment:
  PLICA_PEERS         folder with the peers' environment and the exported models (.cache/peers)
  CMAKE_PREFIX_PATH   where Plica's dependencies are; if set, tools/deps is not called

exit codes: 0 measured, 1 Plica failed on a model, 2 cannot measure"""


def names(find, choices):
    """Parses names joined by commas; `find` raises KeyError for one that is none."""
    def parse(text):
        given = [name.strip() for name in text.split(",") if name.strip()]
        for name in given:
            try:
                find(name)
            except KeyError:
                raise argparse.ArgumentTypeError(
                    f"'{name}': one of {', '.join(choices)}") from None
            except UnusableError as error:
                raise argparse.ArgumentTypeError(f"{name}: {error}") from None
        return given
    return parse


def numbers(text):
    try:
        values = [int(value) for value in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected positive numbers joined by commas")
    return values


def parse_args(argv):
    parser = argparse.ArgumentParser(
        prog="bench/compare", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Plica and other engines on the same models, side by side.")
    parser.add_argument("--models", metavar="NAME,...",
                        type=names(models.spec, [*models.MODELS, "torchvision.NAME", "FILE.pt2"]),
                        default=list(models.MODELS), help="default: all; also torchvision.NAME, "
                        "any model of torchvision for images, and files of torch.export.save()")
    parser.add_argument("--engines", type=names(ENGINES.__getitem__, ENGINES), metavar="NAME,...",
                        default=list(ENGINES), help="beside plica; default: all")
    parser.add_argument("--threads", type=numbers, metavar="N,...", default=[1, 2])
    parser.add_argument("--batch", type=numbers, metavar="N,...",
                        help="default: 1, and 16 where the model is not too large for it")
    parser.add_argument("--isa", choices=["avx2", "sse4"],
                        help="hide wider instruction sets from all engines (Linux, x86-64)")
    parser.add_argument("--seconds", type=float, default=3, metavar="S",
                        help="how long each engine is measured in each case (default %(default)s)")
    parser.add_argument("--cold-starts", type=int, choices=range(1, 11), metavar="N",
                        default=measure.COLD_STARTS,
                        help="how often each engine is started (default %(default)s)")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR",
                        default=models.REPOSITORY / "build/compare/results",
                        help="for results.json, results.md, results.html (default %(default)s)")
    parser.add_argument("--publish", action="store_true",
                        help="also write bench/RESULTS.md, with --isa bench/RESULTS-ISA.md")
    parser.add_argument("--add", action="store_true",
                        help="keep the other cases of results.json in --output")
    parser.add_argument("--render", action="store_true",
                        help="measure nothing, write the reports of results.json again")
    parser.add_argument("--export-only", action="store_true", help="stop after the exports")
    parser.add_argument("--retry", action="store_true", help="try failed exports again")
    parser.add_argument("--workers", type=pathlib.Path, metavar="DIR",
                        help="folder with the built workers, which are then not built")
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR", default=pathlib.Path(
        os.environ.get("PLICA_PEERS") or models.REPOSITORY / ".cache/peers"),
        help="instead of PLICA_PEERS")
    args = parser.parse_args(argv)
    if not 0 < args.seconds <= 3600:
        parser.error("--seconds: expected more than 0 and at most 3600")
    args.engines = [name for name in ENGINES if name in args.engines or name == "plica"]
    return args


def install(environment, chosen, progress):
    """Engines that are there, and why the others are not."""
    environment.create(progress)
    usable, missing = [], {}
    for name in chosen:
        try:
            for group in ENGINES[name].requirements:
                environment.install(group, progress)
            usable.append(ENGINES[name])
        except SetupError as error:
            progress.say(f"without {ENGINES[name].title}: {error}")
            missing[name] = str(error)
    return usable, missing


def cases(args):
    for model in args.models:
        for batch in args.batch or models.spec(model).batches:
            for threads in args.threads:
                yield measure.Case(model, batch, threads)


def worker_command(engine, case, exports, environment, workers):
    """How to start the engine on a case; raises WorkerError where that cannot be."""
    entry = exports.entry(engine, case.model, case.batch, case.threads)
    if "error" in entry:
        raise measure.WorkerError(f"export: {entry['error']}")
    if engine.program is None:
        command = [environment.python, "-m", "plica_compare.worker", "--engine", engine.name]
    elif (workers / engine.program).exists():
        command = [workers / engine.program, *engine.options(environment.site_packages)]
    else:
        raise measure.WorkerError(f"{engine.program} was not built")
    shape = "x".join(map(str, (case.batch, *models.spec(case.model).sample)))
    return [*command, "--model", exports.file(engine, case.model, case.batch, case.threads),
            "--input", exports.input(case.model, case.batch), "--shape", shape,
            "--threads", case.threads]


def measure_case(case, usable, missing, exports, environment, workers, mask, args, progress):
    """The entry of one case in the results."""
    progress.step(str(case))
    commands, failed = {}, {name: {"error_message": why} for name, why in missing.items()}
    for engine in usable:
        if mask and engine.compiled:
            failed[engine.name] = {"error_message": "compiled for all that this processor has"}
            continue
        try:
            commands[engine.name] = worker_command(engine, case, exports, environment, workers)
        except measure.WorkerError as error:
            failed[engine.name] = {"error_message": str(error)}
    with tempfile.TemporaryDirectory(prefix="plica-compare-") as scratch:
        measurement = measure.Measurement(case, commands, {**environment.variables(), **mask},
                                          pathlib.Path(scratch), progress, args.cold_starts)
        results = measurement.run(args.seconds, measure.read_doubles(
            exports.reference(case.model, case.batch)))
    remarks = {}
    for engine in usable:
        remark = exports.entry(engine, case.model, case.batch, case.threads).get("remark")
        if remark:
            remarks[engine.name] = remark
    facts = exports.facts(case.model, case.batch)
    gflop = models.spec(case.model).gflop or facts["gflop"] / case.batch
    entry = {"model": case.model, "batch": case.batch, "threads": case.threads,
             "measured": time.strftime("%Y-%m-%d %H:%M"),
             "gflop": gflop * case.batch, "facts": facts,
             "engines": {**results, **failed}, "remarks": remarks}
    entry.update(measure.compare(results, measurement.rounds()))
    return entry


def write(results, folder, publish):
    folder.mkdir(parents=True, exist_ok=True)
    files = {"results.json": json.dumps(results), "results.md": report_markdown.render(results),
             "results.html": report_html.render(results)}
    for name, text in files.items():
        (folder / (name + ".new")).write_text(text)
        (folder / (name + ".new")).rename(folder / name)
    if publish:
        isa = results["machine"].get("isa")
        name = f"RESULTS-{isa}.md" if isa else "RESULTS.md"
        shutil.copyfile(folder / "results.md", models.REPOSITORY / "bench" / name)


def export_all(args, usable, exports, progress):
    """Returns the models that cannot be measured at all."""
    impossible = set()
    for model in args.models:
        for batch in args.batch or models.spec(model).batches:
            try:
                exports.make(model, batch, usable, args.threads, progress)
            except RuntimeError as error:
                progress.say(str(error))
                impossible.add(model)
    return impossible


def old_results(args):
    path = args.output / "results.json"
    if not (args.add or args.render) or not path.exists():
        return {"cases": []}
    old = json.loads(path.read_text())
    if args.add and old["machine"].get("isa") != args.isa:
        raise SetupError(f"{path} is of another --isa: choose another --output")
    return old


def run(args):
    old = old_results(args)
    if args.render:
        if not old["cases"]:
            raise SetupError(f"{args.output / 'results.json'} is not there")
        write(old, args.output, args.publish)
        return 0
    progress = Progress()
    environment = Environment(args.peers)
    usable, missing = install(environment, args.engines, progress)
    workers = args.workers or build.build_workers(environment.site_packages, progress)
    mask = machine.mask_isa(workers, args.isa)
    exports = Exports(environment, args.retry)
    impossible = export_all(args, usable, exports, progress)
    if args.export_only:
        return 1 if impossible else 0

    wanted = [case for case in cases(args) if case.model not in impossible]
    progress.total = len(wanted)
    progress.step("peaks of the machine")
    results = {"machine": {**machine.describe(), "isa": args.isa,
                           **machine.peaks(workers, max(args.threads), mask)},
               "commit": machine.commit(), "seconds": args.seconds,
               "titles": {name: engine.title for name, engine in ENGINES.items()},
               "notes": {name: engine.note for name, engine in ENGINES.items() if engine.note},
               "versions": versions(environment, usable), "cases": []}
    again = {(case.model, case.batch, case.threads) for case in wanted}
    results["cases"] = [entry for entry in old["cases"] if
                        (entry["model"], entry["batch"], entry["threads"]) not in again]
    for case in wanted:
        results["cases"].append(measure_case(case, usable, missing, exports, environment, workers,
                                             mask, args, progress))
        results["cases"].sort(key=case_order)
        progress.done += 1
        write(results, args.output, args.publish)
    progress.finish()
    print(report_markdown.summary(results))
    print(f"reports: {args.output}/results.html, results.md, results.json")
    failed = any("error_message" in entry["engines"].get("plica", {"error_message": ""})
                 for entry in results["cases"])
    return 1 if failed or impossible else 0


def case_order(entry):
    return (entry["batch"], models.order(entry["model"]), entry["threads"])


def versions(environment, usable):
    found = environment.versions(sorted({engine.package for engine in usable if engine.package}))
    return {engine.name: found[engine.package] for engine in usable if engine.package in found}


def main(argv=None):
    args = parse_args(argv)
    try:
        return run(args)
    except SetupError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncompare: interrupted; what was measured is in the reports", file=sys.stderr)
        return 130
