"""Reads what torch.save wrote: a whole module, a checkpoint dict or a state_dict."""

import inspect
import pathlib
import pickle
import types
import zipfile
from collections.abc import Mapping

import torch
from torch import nn

from .class_file import evaluate
from .errors import Refusal, listed, one_line

# Where checkpoint dicts keep the state_dict, in order of preference if several entries qualify.
STATE_KEYS = ("model_state_dict", "state_dict", "model_state", "model", "net", "network", "module")


def _pickle_module(class_file, path):
    """A stand-in for the pickle module that finds pickled classes in the class file."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            in_file = class_file is not None and class_file.defines(name.split(".")[0])
            if in_file and (module == "__main__" or
                            module.split(".")[-1] == class_file.path.stem):
                return self._from_file(name)
            if module == "__main__":
                advice = (f"{class_file.path} does not define it" if class_file else
                          "give the file that defines it with --class-file")
                raise Refusal(f"{path}: the pickle needs the class '{name}' of the script that "
                              f"saved it: {advice}")
            try:
                return super().find_class(module, name)
            except (ImportError, AttributeError) as error:
                if in_file:
                    return self._from_file(name)
                raise Refusal(f"{path}: the pickle needs '{module}.{name}': {one_line(error)}; "
                              "install it, or give --class-file") from error

        @staticmethod
        def _from_file(name):
            first, *rest = name.split(".")
            value = class_file.get(first)
            for part in rest:
                value = getattr(value, part)
            return value

    stand_in = types.ModuleType("pickle_with_class_file")
    stand_in.Unpickler = Unpickler
    stand_in.load = lambda file, **options: Unpickler(file, **options).load()
    stand_in.loads = pickle.loads
    stand_in.UnpicklingError = pickle.UnpicklingError
    return stand_in


def _refuse_other_archives(path):
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "archive_format" in names or "models/model.json" in names:
        raise Refusal(f"{path}: already a file of torch.export.save, which Plica reads as it is")
    if "constants.pkl" in names:
        raise Refusal(f"{path}: a TorchScript archive, which torch.export cannot convert; "
                      "save the module or its state_dict with torch.save")


def read(path, class_file, note):
    """The object that the file holds, tensors on the CPU.

    State_dicts are read without running any code from the file. Everything else is a Python pickle,
    which can run code: read only files that you trust.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise Refusal(f"{path}: no such file")
    _refuse_other_archives(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # Whatever the reason, the full reader tells it better.
        pass
    stand_in = _pickle_module(class_file, path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=False, pickle_module=stand_in)
    except Refusal:
        raise
    except Exception as error:
        loaded = _read_plain_pickle(path, stand_in, error)
    note(f"{path} holds Python objects beside tensors: reading it ran code from it")
    return loaded


def _read_plain_pickle(path, stand_in, error):
    with open(path, "rb") as file:
        if file.read(1) != b"\x80":
            raise Refusal(f"{path}: not a file of torch.save: {one_line(error)}") from error
        file.seek(0)
        try:
            return stand_in.load(file)
        except Refusal:
            raise
        except Exception:
            raise Refusal(f"{path}: cannot be read: {one_line(error)}") from error


def is_state_dict(value):
    return (isinstance(value, Mapping) and len(value) > 0 and
            all(isinstance(key, str) for key in value) and
            all(isinstance(entry, torch.Tensor) for key, entry in value.items()
                if not key.endswith("_extra_state")))


def find_state(loaded, state_key, path, note):
    """The state_dict or module in what read() returned."""
    if state_key is not None:
        value = loaded
        if not isinstance(loaded, Mapping):
            raise Refusal(f"{path}: --state-key {state_key}: the file holds a "
                          f"{type(loaded).__name__}, not a dict")
        if state_key in loaded:
            value = loaded[state_key]
        else:
            for part in state_key.split("."):
                if not isinstance(value, Mapping) or part not in value:
                    keys = listed(map(str, loaded)) if isinstance(loaded, Mapping) else ""
                    raise Refusal(f"{path}: no key '{state_key}'; it has: {keys}")
                value = value[part]
        if not (is_state_dict(value) or isinstance(value, nn.Module)):
            raise Refusal(f"{path}: '{state_key}' is neither a state_dict nor a module")
        return value
    if isinstance(loaded, nn.Module) or is_state_dict(loaded):
        return loaded
    if not isinstance(loaded, Mapping):
        raise Refusal(f"{path}: holds a {type(loaded).__name__}; expected a module, a checkpoint "
                      "dict or a state_dict")
    found = [key for key, value in loaded.items()
             if is_state_dict(value) or isinstance(value, nn.Module)]
    chosen = next((key for key in STATE_KEYS if key in found), None)
    if chosen is None and len(found) == 1:
        chosen = found[0]
    if chosen is None:
        raise Refusal(f"{path}: name the entry with the state_dict by --state-key; "
                      f"the file has: {listed(map(str, loaded)) or 'nothing'}")
    if len(found) > 1:
        note(f"{path}: using '{chosen}'; also there: "
             f"{listed(str(key) for key in found if key != chosen)}")
    return loaded[chosen]


def _construct(cls, loaded):
    """An instance of the class, with the checkpoint's init_params if it has them."""
    params = loaded.get("init_params") if isinstance(loaded, Mapping) else None
    try:
        if isinstance(params, Mapping):
            return cls(**params)
        if isinstance(params, (tuple, list)):
            return cls(*params)
        return cls()
    except Exception as error:
        said = f" with init_params {params}" if params else ""
        raise Refusal(f"cannot construct {cls.__name__}{said}: {one_line(error)}; "
                      f"give --model \"{cls.__name__}(...)\"") from error


def construct_model(expression, class_file, loaded, path):
    """The untrained module that a state_dict belongs to."""
    if expression is not None:
        model = evaluate(expression, class_file)
        if inspect.isclass(model) and issubclass(model, nn.Module):
            model = _construct(model, loaded)
        if not isinstance(model, nn.Module):
            raise Refusal(f"--model {expression}: a {type(model).__name__}, not a torch.nn.Module")
        return model
    if class_file is None:
        raise Refusal(f"{path}: holds tensors but no class: give --class-file FILE.py and "
                      "--model \"Class(...)\"")
    classes = [class_file.get(name) for name in class_file.class_names()]
    classes = [cls for cls in classes if inspect.isclass(cls) and issubclass(cls, nn.Module)]
    if len(classes) != 1:
        names = listed(cls.__name__ for cls in classes) or "none"
        raise Refusal(f"{path}: say which class with --model; modules in {class_file.path}: "
                      f"{names}")
    return _construct(classes[0], loaded)


def load_state(model, state, path, note):
    """Loads the state_dict into the model; every key and every shape must fit."""
    own = model.state_dict()
    for prefix in ("module.", "_orig_mod.", "module."):
        if (all(key.startswith(prefix) for key in state) and
                not any(key.startswith(prefix) for key in own)):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            note(f"{path}: removed the prefix '{prefix}' of every key")
    lazy = {key for key, value in own.items()
            if isinstance(value, nn.parameter.UninitializedTensorMixin)}
    missing = [key for key in own
               if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [f"{key} ({list(state[key].shape)} in the file, {list(own[key].shape)} in the model)"
              for key in own if key in state and key not in lazy and
              isinstance(own[key], torch.Tensor) and state[key].shape != own[key].shape]
    faults = [f"{title}: {listed(keys)}" for title, keys in
              (("missing keys", missing), ("unexpected keys", unexpected),
               ("wrong shapes", shapes)) if keys]
    if faults:
        raise Refusal(f"{path}: does not fit {type(model).__name__}: {'; '.join(faults)}")
    try:
        model.load_state_dict(state, strict=False)
    except Exception as error:
        raise Refusal(f"{path}: does not fit {type(model).__name__}: {one_line(error)}") from error
    dtypes = {value.dtype for value in state.values()
              if isinstance(value, torch.Tensor) and value.is_floating_point()} - {torch.float32}
    if dtypes:
        note(f"{path}: converted to float32 from "
             f"{listed(sorted(str(dtype).removeprefix('torch.') for dtype in dtypes))}")
