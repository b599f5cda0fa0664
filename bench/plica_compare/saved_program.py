"""Models that torch.export.save() wrote."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import zipfile

_FLOAT32 = 7  # Of the schema's ScalarType.


@dataclasses.dataclass(frozen=True)
class Input:
    batch: int | None  # None: any.
    sample: tuple  # The other dimensions.


class UnusableError(Exception):
    """The file cannot be compared; the message says why."""


def _graphs(archive):
    return [name for name in archive.namelist() if name.endswith("models/model.json")]


def _graph(archive):
    found = _graphs(archive)
    if len(found) != 1:
        raise UnusableError("not an archive of torch.export.save()")
    return json.loads(archive.read(found[0]))["graph_module"]


@functools.cache
def read_input(path):
    """What the model takes: one float32 tensor, only whose batch may be of any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            module = _graph(archive)
            given = [spec["user_input"]["arg"] for spec in module["signature"]["input_specs"]
                     if "user_input" in spec]
            if len(given) != 1 or "as_tensor" not in given[0]:
                raise UnusableError("expected a model of one tensor")
            tensor = module["graph"]["tensor_values"][given[0]["as_tensor"]["name"]]
            sizes = [size.get("as_int") for size in tensor["sizes"]]
            if tensor["dtype"] != _FLOAT32 or len(sizes) < 2 or None in sizes[1:]:
                raise UnusableError("expected a float32 input of fixed size, but for the batch")
            return Input(sizes[0], tuple(sizes[1:]))
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UnusableError(f"cannot be read: {error}") from None


@functools.cache
def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16]


def is_program(path):
    """Whether the file is one of torch.export.save() rather than torch.save()."""
    with zipfile.ZipFile(path) as archive:
        return bool(_graphs(archive))
