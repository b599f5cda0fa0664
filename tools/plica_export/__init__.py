"""Turns PyTorch modules and checkpoints into .pt2 files that Plica runs."""

import copy

import torch

from .errors import Refusal
from .module import prepare
from .program import DEFAULT_BATCH_MAX, save, to_program

__all__ = ["Refusal", "export"]


def export(module, example_inputs, path, *, static_batch=False, batch_max=DEFAULT_BATCH_MAX,
           note=None):
    """Writes a torch.nn.Module, left as it is, to a .pt2 file.

    example_inputs is a tensor or a sequence of tensors, of which only the shapes count; their first
    dimension is the batch, which stays dynamic (1 to batch_max) where the module permits. note is
    called with a line of text for whatever the caller should know. Raises Refusal.
    """
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    note = note or (lambda text: None)
    model = prepare(copy.deepcopy(module), note)
    shapes = [list(tensor.shape) for tensor in example_inputs]
    program, _ = to_program(model, shapes, note, static_batch, batch_max)
    save(program, path)
