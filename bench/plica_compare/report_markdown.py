"""The results as Markdown: what bench/RESULTS.md holds."""

from . import models, statistics

GEOMETRIC_MEAN = "geometric mean without the tiny ones"


def significant(value, digits=3):
    """A number with so many significant digits, without an exponent where it is 1 or more."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** digits:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def milliseconds(seconds):
    return significant(seconds * 1e3)


def megabytes(count):
    return f"{count / 1e6:.0f}" if count >= 10e6 else f"{count / 1e6:.1f}"


def case_name(entry):
    return entry["model"] + (f" @{entry['batch']}" if entry["batch"] > 1 else "")


def table(header, rows):
    """Aligned Markdown; a column whose title begins with > is numbers."""
    titles = [title.lstrip(">") for title in header]
    lines = [titles] + [[str(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(titles))]

    def line(cells):
        return "| " + " | ".join(
            cell.rjust(width) if title.startswith(">") else cell.ljust(width)
            for cell, width, title in zip(cells, widths, header)) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if title.startswith(">") else "-")
                          for width, title in zip(widths, header)) + "|"
    return "\n".join([line(titles), rule, *(line(row) for row in lines[1:])])


def thread_counts(results):
    return sorted({entry["threads"] for entry in results["cases"]})


def ok(result):
    return result is not None and "error_message" not in result


def best_ratio(entry):
    """{"median", "low", "high"} against the best peer, or None."""
    return entry["ratios"][entry["best_peer"]] if entry["best_peer"] else None


def mean_ratio(results, threads):
    """The geometric mean over the models that are not tiny, or None."""
    values = [best_ratio(entry)["median"] for entry in results["cases"]
              if entry["threads"] == threads and best_ratio(entry) and
              not models.is_tiny(entry["model"])]
    return statistics.geometric_mean(values) if values else None


def ratio_rows(results, threads):
    for entry in results["cases"]:
        if entry["threads"] != threads:
            continue
        plica = entry["engines"].get("plica")
        peer, ratio = entry["best_peer"], best_ratio(entry)
        yield [case_name(entry), significant(entry["gflop"]),
               milliseconds(plica["median"]) if ok(plica) else "failed",
               results["titles"][peer] if peer else "",
               milliseconds(entry["engines"][peer]["median"]) if peer else "",
               f"{ratio['median']:.2f}" if ratio else "",
               f"{ratio['low']:.2f} - {ratio['high']:.2f}" if ratio else "",
               f"{entry['gflop'] / plica['median']:.0f}" if ok(plica) else "",
               f"{plica['error']:.1e}" if ok(plica) else ""]


def ratio_table(results, threads):
    text = table(["model", ">GFLOP", ">Plica ms", "best peer", ">its ms", ">ratio", ">quartiles",
                  ">GFLOP/s", ">error"], ratio_rows(results, threads))
    mean = mean_ratio(results, threads)
    return text + (f"\n\nRatio, {GEOMETRIC_MEAN}: {mean:.2f}" if mean else "")


def engine_names(results):
    """Engines that appear, in the order of the titles."""
    seen = {name for entry in results["cases"] for name in entry["engines"]}
    return [name for name in results["titles"] if name in seen]


def engine_table(results, threads):
    """Median of every engine; (in brackets) with an error beyond 1e-3."""
    engines = engine_names(results)

    def cell(result):
        if not ok(result):
            return "-"
        text = milliseconds(result["median"])
        return text if result["error"] <= 1e-3 else f"({text})"

    rows = [[case_name(entry), *(cell(entry["engines"].get(name)) for name in engines)]
            for entry in results["cases"] if entry["threads"] == threads]
    return table(["model", *(">" + results["titles"][name] for name in engines)], rows)


def start_table(results, threads):
    """Cold start in ms and peak resident set in MB."""
    engines = engine_names(results)

    def cell(result):
        return f"{milliseconds(result['cold_start'])} / {megabytes(result['peak_rss'])}" \
            if ok(result) else "-"

    rows = [[case_name(entry), megabytes(entry["facts"]["weight_bytes"]),
             *(cell(entry["engines"].get(name)) for name in engines)]
            for entry in results["cases"] if entry["threads"] == threads and entry["batch"] == 1]
    return table(["model", ">weights MB", *(">" + results["titles"][name] for name in engines)],
                 rows)


def p99_table(results, threads):
    engines = engine_names(results)
    rows = [[case_name(entry),
             *(f"{milliseconds(entry['engines'][name]['p99'])}"
               if ok(entry["engines"].get(name)) else "-" for name in engines)]
            for entry in results["cases"] if entry["threads"] == threads]
    return table(["model", *(">" + results["titles"][name] for name in engines)], rows)


def machine_lines(results):
    machine = results["machine"]
    peaks = "; ".join(
        f"{plural(peak['threads'], 'thread')}: {peak['gflops']:.0f} GFLOP/s, "
        f"L2 {peak['l2_gbs']:.0f} GB/s, memory {peak['memory_gbs']:.0f} GB/s"
        for peak in machine["peaks"])
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    return [f"CPU: {machine['cpu']} (family/model/stepping {machine['family_model_stepping']}), "
            f"{plural(machine['processors'], 'processor')}, {caches}, "
            f"{', '.join(machine['instruction_sets'])}",
            *([f"Hidden from all engines: what is wider than {machine['isa'].upper()}"]
              if machine.get("isa") else []),
            f"Measured peaks, {machine['target']}: {peaks}",
            f"Load average before: {machine['load_average']}"]


def commit_line(results):
    dates = sorted(entry["measured"] for entry in results["cases"])
    when = f"{dates[0]} to {dates[-1]}" if dates else "nothing measured"
    return f"Commit {results['commit'] or 'unknown'}, {when}"


def version_line(results):
    return ", ".join(f"{results['titles'][name]} {version}"
                     for name, version in results["versions"].items())


def plural(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")


def failures(results):
    """Lines that say which engine failed where, and what was remarked."""
    where = {}
    for entry in results["cases"]:
        for name, result in entry["engines"].items():
            if not ok(result):
                where.setdefault((name, result["error_message"]), []).append(case_name(entry))
        for name, remark in entry["remarks"].items():
            where.setdefault((name, remark), []).append(case_name(entry))
    return [f"{results['titles'][name]}: {reason} ({', '.join(dict.fromkeys(cases))})"
            for (name, reason), cases in where.items()]


def notes(results):
    return ["A ratio is the median over rounds of (peer's median / Plica's median): above 1, Plica "
            "is faster. Under 5 % is a tie. Best peer: the fastest with an error of at most 1e-3.",
            "Error: largest error / largest output, against PyTorch in float64.",
            "Cold start: from a file in the page cache to the first output in a new process; of "
            "engines called through Python without the start of Python and numpy.",
            *(f"{results['titles'][name]}: {note}." for name, note in results["notes"].items()),
            *failures(results)]


def summary(results):
    """For the terminal."""
    return "\n\n".join(f"{plural(threads, 'thread')}\n{ratio_table(results, threads)}"
                       for threads in thread_counts(results))


def render(results):
    parts = ["# Results", "Written by `bench/compare`; see README.md for how it measures.",
             "\n".join(f"- {line}" for line in [*machine_lines(results), commit_line(results),
                                                version_line(results)])]
    for threads in thread_counts(results):
        name = plural(threads, "thread")
        parts += [f"## {name}: against the best peer", ratio_table(results, threads),
                  f"## {name}: all engines, median ms", engine_table(results, threads),
                  f"## {name}: all engines, 99th percentile ms", p99_table(results, threads),
                  f"## {name}: cold start ms / peak resident MB, batch 1",
                  start_table(results, threads)]
    parts += ["## Notes", "\n".join(f"- {line}" for line in notes(results))]
    return "\n\n".join(parts) + "\n"
