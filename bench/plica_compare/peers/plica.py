import sys

from ..models import REPOSITORY
from .engine import Engine


class Plica(Engine):
    name = "plica"
    title = "Plica"
    program = "plica_worker"
    suffix = ".pt2"

    def export(self, source, path, threads):
        if source.spec.source == "file":
            source.save(path)
            return
        if str(REPOSITORY / "tools") not in sys.path:
            sys.path.insert(0, str(REPOSITORY / "tools"))
        from plica_export import program

        exported, _ = program.to_program(source.module(), [source.shape], lambda text: None,
                                         static_batch=True)
        program.save(exported, path)
