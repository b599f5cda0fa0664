"""What the harness has to know of an engine."""


class Engine:
    """One engine: how it is installed, fed with a model, and run.

    Modules of the engine are imported inside the methods, since the harness, which has none of
    them, imports these classes too.
    """

    name = ""
    title = ""  # For people.
    requirements = ()  # Names of files in bench/requirements.
    package = ""  # Whose version is that of the engine.
    program = None  # The worker in bench/workers that runs it; None: plica_compare.worker.
    suffix = ""  # Of its model file.
    per_threads = False  # Whether the file depends on the number of threads.
    # Whether its file is compiled for the processor that it was exported on.
    compiled = False
    note = ""

    def file_name(self, stem, threads):
        return f"{stem}.t{threads}{self.suffix}" if self.per_threads else stem + self.suffix

    def options(self, site_packages):
        """Further options of its program."""
        return []

    def export(self, source, path, threads):
        """Writes source (export.Source) to path; may return a remark."""
        raise NotImplementedError

    def load(self, path, array, threads):
        """Returns two functions, one that runs the model on a numpy array [N, ...] given here, and
        one that returns the output of the last run as a numpy array."""
        raise NotImplementedError
