"""The Python file that defines the model's class, read without running the script that it may be.

A class file is often the training script itself. Of its top-level statements only those run that
the wanted classes need: their definitions, the imports, functions and assignments that these refer
to, and so on. Training loops, data loading and what stands under `if __name__ == "__main__"` do
not run.
"""

import __future__
import ast
import contextlib
import io
import pathlib
import symtable
import sys
import types

import torch

from .errors import Refusal, one_line

MODULE_NAME = "plica_class_file"
_BINDING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
            ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.Try, ast.With)


def _is_main_guard(statement):
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))


def _bound_names(statement):
    """The module-level names that a top-level statement may bind."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    if isinstance(statement, (ast.If, ast.Try, ast.With)):
        names = set()
        for child in ast.iter_child_nodes(statement):
            inner = child.body if isinstance(child, ast.ExceptHandler) else [child]
            for part in inner:
                names |= _bound_names(part)
        return names
    return {node.id for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _used_names(statement):
    """The global names that a top-level statement, or a function or class in it, refers to."""
    names = set()

    def walk(table, top):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                names.add(symbol.get_name())
        for child in table.get_children():
            walk(child, False)

    walk(symtable.symtable(ast.unparse(statement), "<class file>", "exec"), True)
    return names


class _Missing:
    """Stands for what could not be imported: importing it is no fault until something uses it."""

    def __init__(self, message):
        self._message = message

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise Refusal(self._message)

    def __call__(self, *args, **kwargs):
        raise Refusal(self._message)

    def __mro_entries__(self, bases):
        raise Refusal(self._message)


class ClassFile:
    """Names of a class file, each defined when it is first asked for."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        try:
            source = self.path.read_bytes()
        except OSError as error:
            raise Refusal(f"{path}: {error.strerror}") from error
        try:
            self._tree = ast.parse(source, str(path))
        except (SyntaxError, ValueError) as error:
            raise Refusal(f"{path}: not a Python file: {one_line(error)}") from error
        module = types.ModuleType(MODULE_NAME)
        module.__file__ = str(self.path)
        sys.modules[MODULE_NAME] = module
        self.namespace = module.__dict__
        self._statements = [
            statement for statement in self._tree.body
            if isinstance(statement, _BINDING) and not _is_main_guard(statement)]
        self._bound = [_bound_names(statement) for statement in self._statements]
        self._done = set()
        folder = str(self.path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)

    def class_names(self):
        """Top-level classes in the order of the file."""
        return [s.name for s in self._statements if isinstance(s, ast.ClassDef)]

    def defines(self, name):
        return any(name in bound for bound in self._bound)

    def get(self, name):
        """The value of a top-level name."""
        self.provide({name})
        if name not in self.namespace:
            raise Refusal(f"{self.path}: defines no '{name}'")
        return self.namespace[name]

    def provide(self, names):
        """Runs the statements that the names need."""
        needed, queue = set(), set(names)
        seen = set()
        while queue:
            name = queue.pop()
            seen.add(name)
            for index, bound in enumerate(self._bound):
                if index in needed or index in self._done or not (name in bound or "*" in bound):
                    continue
                needed.add(index)
                queue |= _used_names(self._statements[index]) - seen
        for index in sorted(needed):
            self._run(index)

    def _run(self, index):
        self._done.add(index)
        statement = self._statements[index]
        flags = 0
        for other in self._tree.body:
            if isinstance(other, ast.ImportFrom) and other.module == "__future__":
                for alias in other.names:
                    flags |= getattr(__future__, alias.name).compiler_flag
        code = compile(ast.Module([statement], []), str(self.path), "exec", flags, True)
        place = f"{self.path}:{statement.lineno}"
        silent = io.StringIO()
        try:
            with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                exec(code, self.namespace)
        except Refusal:
            raise
        except ImportError as error:
            for name in self._bound[index] - {"*"}:
                self.namespace[name] = _Missing(f"{place}: {one_line(error)}")
        except (Exception, SystemExit) as error:
            raise Refusal(f"{place}: {type(error).__name__}: {' '.join(str(error).split())}"
                          ) from error


def evaluate(expression, class_file=None):
    """The value of a --model expression, which may name torch, nn and what the class file has."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError) as error:
        raise Refusal(f"--model {expression}: not a Python expression") from error
    scope = {"torch": torch, "nn": torch.nn}
    if class_file is not None:
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        class_file.provide(names)
        scope.update((name, class_file.namespace[name]) for name in names
                     if name in class_file.namespace)
    try:
        return eval(compile(tree, "--model", "eval"), scope)
    except NameError as error:
        where = f"{class_file.path} does not define it" if class_file else "give --class-file"
        raise Refusal(f"--model {expression}: {one_line(error)}; {where}") from error
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"--model {expression}: {one_line(error)}") from error
