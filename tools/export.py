#!/usr/bin/env python3
"""Turns a PyTorch checkpoint into a .pt2 file that Plica runs.

CHECKPOINT is what torch.save wrote: a whole module, a state_dict, or a dict that holds a state_dict
among other things. The module is exported in eval mode, with a batch of any size where its output
permits, and the file is then checked against PyTorch's output by `plica verify`.

A file with a whole module is a Python pickle, and reading it runs code from it: use only files that
you trust. State_dicts and dicts of them are read without running code.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile

EXAMPLES = """examples:
  tools/export.py model.pkl --class-file train.py --shapes 1x2 --output net.pt2
  tools/export.py model.pth --class-file train.py --model "MyModel(2, 2)" --shapes 1x2 --output net.pt2
  tools/export.py checkpoint.pth --class-file train.py --model MyModel --shapes 1x1x28x28 --output net.pt2

exit codes: 0 written and checked, 1 the check failed, 2 refused"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"export.py: error: {message}\n")


def parse_shapes(text):
    """ "1x2,1x3x8x8" as lists of sizes."""
    shapes = []
    for part in text.split(","):
        if not re.fullmatch(r"\s*\d{1,9}(x\d{1,9})*\s*", part):
            raise argparse.ArgumentTypeError(
                f"'{text}': expected sizes such as 1x3x224x224, one per input, joined by commas")
        shapes.append([int(size) for size in part.split("x")])
        if 0 in shapes[-1]:
            raise argparse.ArgumentTypeError(f"'{text}': sizes must be positive")
    return shapes


def positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected a positive number")
    return value


def parse_args(argv):
    parser = _Parser(prog="export.py", description=__doc__, epilog=EXAMPLES,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="file of torch.save")
    parser.add_argument("--class-file", metavar="FILE.py",
                        help="Python file that defines the model's class; of a training script "
                        "only the definitions run, never the training")
    parser.add_argument("--model", metavar="EXPRESSION",
                        help="how to construct the model for a state_dict, e.g. \"MyModel(2, 2)\"; "
                        "a class alone takes the checkpoint's init_params")
    parser.add_argument("--state-key", metavar="KEY",
                        help="entry of a checkpoint dict that holds the state_dict")
    parser.add_argument("--shapes", metavar="SHAPE[,...]", required=True, type=parse_shapes,
                        help="shape of each input with the batch first, e.g. 1x3x224x224")
    parser.add_argument("--static-batch", action="store_true",
                        help="accept exactly the batch size in --shapes")
    parser.add_argument("--batch-max", metavar="N", type=positive, default=65536,
                        help="largest dynamic batch (default %(default)s)")
    parser.add_argument("--allow-untracked", action="store_true",
                        help="export constructor values of plain tensor attributes, which a "
                        "state_dict does not hold")
    parser.add_argument("--plica", metavar="PATH",
                        help="the plica command for the check (default: build folders, then PATH)")
    parser.add_argument("--output", metavar="FILE.pt2", required=True, help="file to write")
    args = parser.parse_args(argv)
    if not args.output.endswith(".pt2"):
        parser.error("--output must end in .pt2")
    return args


def note(text):
    print(f"note: {text}", file=sys.stderr)


def load_model(args):
    """The trained module, whatever form it was saved in."""
    from torch import nn

    from plica_export import checkpoint
    from plica_export.class_file import ClassFile
    from plica_export.module import refuse_untracked

    class_file = ClassFile(args.class_file) if args.class_file else None
    loaded = checkpoint.read(args.checkpoint, class_file, note)
    found = checkpoint.find_state(loaded, args.state_key, args.checkpoint, note)
    if isinstance(found, nn.Module):
        if args.model is not None:
            note(f"{args.checkpoint} holds the whole module: --model is not needed")
        return found
    model = checkpoint.construct_model(args.model, class_file, loaded, args.checkpoint)
    checkpoint.load_state(model, found, args.checkpoint, note)
    refuse_untracked(model, args.checkpoint, args.allow_untracked, note)
    return model


def export(args):
    """Writes and checks the file; returns the exit code."""
    from plica_export import check, module, program

    plica = check.find_plica(args.plica)
    model = module.prepare(load_model(args), note)
    exported, dynamic = program.to_program(
        model, args.shapes, note, args.static_batch, args.batch_max)
    output = pathlib.Path(args.output)
    if not output.parent.is_dir():
        raise program.Refusal(f"{output.parent}: no such folder")
    failure = ""
    with tempfile.TemporaryDirectory(prefix=".plica-", dir=output.parent) as folder:
        written = pathlib.Path(folder) / output.name
        program.save(exported, written)
        if plica is None:
            note("plica was not found, so the file was not checked; build it or give --plica")
        else:
            code, failure = check.verify(plica, written, model, args.shapes, dynamic)
            failure = failure.replace(str(written), str(output))
            if code not in (0, 1):
                raise program.Refusal(f"plica cannot run the model: {failure}")
        os.replace(written, output)
    if failure:
        print(f"export.py: {output} was written, but plica's output differs from PyTorch's: "
              f"{failure}", file=sys.stderr)
        return 1
    batch = f"1 to {args.batch_max}" if dynamic else str(args.shapes[0][0])
    print(f"{output}: batch {batch}, {output.stat().st_size:,} bytes" +
          ("" if plica is None else ", same output as PyTorch"))
    return 0


def main(argv=None):
    args = parse_args(argv)
    try:
        import torch
    except ImportError:
        print("export.py: error: needs PyTorch: pip install torch==2.13.0", file=sys.stderr)
        return 2
    import warnings

    from plica_export.errors import Refusal, one_line

    warnings.simplefilter("ignore")
    torch._logging.set_logs(all=50)  # Of an export that fails, the one-line reason is enough.
    try:
        return export(args)
    except Refusal as refusal:
        message = str(refusal)
    except (Exception, SystemExit) as error:
        message = f"{args.checkpoint}: {type(error).__name__}: {one_line(error)}"
    print(f"export.py: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
