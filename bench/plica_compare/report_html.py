"""The results as one page of HTML that loads nothing."""

import html

from . import report_markdown as markdown
from . import svg

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --grid: #e3e6ea; --back: #fff;
  --win: #2b7a4b; --tie: #b58900; --loss: #b3392f; --peer: #8aa4c0; --roof: #445; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #98a1aa; --grid: #30363d;
  --back: #14171a; --win: #4cae78; --tie: #d0a93c; --loss: #e0685e; --peer: #57738f; --roof: #aab; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
.wide { overflow-x: auto; }
th, td { padding: 3px 9px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { text-align: left; } td.n, th.n { text-align: right; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
svg .small { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--grid); } .one { stroke: var(--ink); stroke-dasharray: 3 3; }
.whisker { stroke: var(--ink); stroke-width: 1.2; opacity: .6; }
rect:hover, circle:hover { opacity: .65; }
.median { stroke: var(--ink); stroke-width: 2; } .roof { stroke: var(--roof); stroke-width: 2; }
.win { fill: var(--win); } .tie { fill: var(--tie); } .loss { fill: var(--loss); }
.peer { fill: var(--peer); }
details { margin: .4rem 0; } summary { cursor: pointer; }
ul { padding-left: 1.2rem; } .soft { color: var(--soft); }
"""


def table(markdown_text):
    """A table of report_markdown as HTML, and the text behind it."""
    lines = markdown_text.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    rest = " ".join(line for line in lines if not line.startswith("|")).strip()
    numeric = [cell.endswith(":") for cell in rows[1].strip("|").split("|")]

    def row(line, tag):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        return "<tr>" + "".join(
            f'<{tag}{" class=n" if number else ""}>{html.escape(cell)}</{tag}>'
            for cell, number in zip(cells, numeric)) + "</tr>"

    body = row(rows[0], "th") + "".join(row(line, "td") for line in rows[2:])
    return f'<div class="wide"><table>{body}</table></div>' + \
        (f"<p>{html.escape(rest)}</p>" if rest else "")


def ratio_plot(results, threads):
    rows = []
    for entry in results["cases"]:
        ratio = markdown.best_ratio(entry)
        if entry["threads"] == threads and ratio:
            title = f"{results['titles'][entry['best_peer']]} / Plica"
            rows.append((markdown.case_name(entry), ratio["median"], ratio["low"], ratio["high"],
                         title))
    return svg.ratios(rows) if rows else "<p>Nothing to compare.</p>"


def distribution_plot(results, entry):
    rows = []
    for name in markdown.engine_names(results):
        result = entry["engines"].get(name)
        if markdown.ok(result):
            rows.append((results["titles"][name], result["quantiles"],
                         "win" if name == "plica" else "peer"))
    return svg.distributions(rows) if rows else "<p>Nothing was measured.</p>"


def intensity(entry):
    """FLOP for each byte that has to be moved at least: weights, input and output once."""
    facts = entry["facts"]
    moved = facts["weight_bytes"] + 4 * (facts["input_elements"] + facts["output_elements"])
    return entry["gflop"] * 1e9 / moved


def roofline_plot(results, threads):
    points = []
    for entry in results["cases"]:
        if entry["threads"] != threads:
            continue
        for name, kind in ((entry["best_peer"], "peer"), ("plica", "win")):
            result = entry["engines"].get(name)
            if markdown.ok(result):
                label = f"{markdown.case_name(entry)}, {results['titles'][name]}"
                points.append((intensity(entry), entry["gflop"] / result["median"], label, kind))
    peak = next((p for p in results["machine"]["peaks"] if p["threads"] == threads), None)
    return svg.roofline(points, peak) if peak else "<p>The peak was not measured.</p>"


def section(results, threads):
    name = markdown.plural(threads, "thread")
    parts = [f"<h2>{name}</h2>", "<h3>Best peer's time / Plica's</h3>",
             "<p class=soft>Right of the dashed line Plica is faster; the scale is logarithmic. "
             "Whiskers: quartiles over rounds. Amber: a tie.</p>", ratio_plot(results, threads),
             table(markdown.ratio_table(results, threads)),
             "<h3>Roofline</h3><p class=soft>Green: Plica, blue: the best peer. Winograd counts the "
             "operations of direct convolution, so it may pass the roof.</p>",
             roofline_plot(results, threads), "<h3>Latencies, ms</h3>",
             "<p class=soft>Box: quartiles; line: fastest to 99th percentile.</p>"]
    for entry in results["cases"]:
        if entry["threads"] == threads:
            parts.append(f"<details><summary>{html.escape(markdown.case_name(entry))}</summary>"
                         f"{distribution_plot(results, entry)}</details>")
    for title, make in (("All engines, median ms", markdown.engine_table),
                        ("All engines, 99th percentile ms", markdown.p99_table),
                        ("Cold start ms / peak resident MB, batch 1", markdown.start_table)):
        parts.append(f"<h3>{title}</h3>{table(make(results, threads))}")
    return "\n".join(parts)


def render(results):
    facts = [*markdown.machine_lines(results), markdown.commit_line(results),
             markdown.version_line(results)]
    body = ["<h1>Plica and its peers</h1>",
            "<ul>" + "".join(f"<li>{html.escape(fact)}</li>" for fact in facts) + "</ul>",
            *(section(results, threads) for threads in markdown.thread_counts(results)),
            "<h2>Notes</h2><ul>" + "".join(f"<li>{html.escape(note)}</li>"
                                           for note in markdown.notes(results)) + "</ul>"]
    return ("<!DOCTYPE html><html lang=en><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width">'
            f"<title>Plica and its peers</title><style>{STYLE}</style><body>"
            + "\n".join(body) + "</body></html>\n")
