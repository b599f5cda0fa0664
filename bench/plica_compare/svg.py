"""Plots as inline SVG. Positions are in pixels; colours are classes of report_html's style."""

import html
import math

WIDTH = 940


def text(x, y, content, anchor="start", kind=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f"{html.escape(str(content))}</text>")


def line(x1, y1, x2, y2, kind="axis"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def rect(x, y, width, height, kind, title=""):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0, width):.1f}" height="{height:.1f}" '
            f'class="{kind}"><title>{html.escape(title)}</title></rect>')


def circle(x, y, radius, kind, title=""):
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}">'
            f"<title>{html.escape(title)}</title></circle>")


def picture(width, height, parts, label):
    return (f'<svg viewBox="0 0 {width} {height:.0f}" width="{width}" role="img" '
            f'aria-label="{html.escape(label)}">' + "".join(parts) + "</svg>")


class Scale:
    """From [low, high] to [start, end], linear or logarithmic."""

    def __init__(self, low, high, start, end, log=False):
        self.log = log
        self._map = math.log10 if log else float
        self.low, self.high = low, high
        self._start, self._end = start, end

    def __call__(self, value):
        value = min(max(value, self.low), self.high)
        share = (self._map(value) - self._map(self.low)) / \
            ((self._map(self.high) - self._map(self.low)) or 1)
        return self._start + share * (self._end - self._start)

    def ticks(self):
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            factors = (1,) if last - first > 2 else (1, 2, 5)
            return [factor * 10.0 ** power for power in range(first - 1, last + 1)
                    for factor in factors if self.low <= factor * 10.0 ** power <= self.high]
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / 4)) if span > 0 else 1
        step *= next((factor for factor in (1, 2, 5) if span / (step * factor) <= 8), 10)
        count = math.floor(span / step + 1e-9)
        return [self.low + i * step for i in range(count + 1)]


def ratios(rows, width=WIDTH):
    """Horizontal bars from 1 on a logarithmic axis: rows are (label, value, low, high, title)."""
    left, right, height = 190, 60, 22
    scale = Scale(min([0.8, *(row[2] * 0.95 for row in rows)]),
                  max([1.25, *(row[3] * 1.05 for row in rows)]), left, width - right, log=True)
    bottom = 10 + height * len(rows)
    parts = [line(scale(tick), 10, scale(tick), bottom, "grid") +
             text(scale(tick), bottom + 14, f"{tick:g}", "middle", "small")
             for tick in scale.ticks()]
    for i, (label, value, low, high, title) in enumerate(rows):
        y = 10 + i * height
        kind = "win" if value >= 1.05 else "tie" if value >= 0.95 else "loss"
        start, end = sorted((scale(1), scale(value)))
        parts += [text(left - 8, y + 15, label, "end"),
                  rect(start, y + 4, max(2, end - start), height - 8, kind, title),
                  line(scale(low), y + height / 2, scale(high), y + height / 2, "whisker"),
                  text(scale(max(1, value, high)) + 6, y + 15, f"{value:.2f}x", "start", "small")]
    parts.append(line(scale(1), 6, scale(1), bottom, "one"))
    return picture(width, bottom + 20, parts, "ratio for each model")


def distributions(rows, width=WIDTH):
    """Box plots on one logarithmic axis of milliseconds: rows are (label, sorted seconds, kind)."""
    left, right, height = 190, 20, 22
    low = min(values[0] for _, values, _ in rows) * 1e3
    # The slowest hundredth would squeeze everything else.
    high = max(values[int(0.99 * (len(values) - 1))] for _, values, _ in rows) * 1e3
    scale = Scale(low * 0.95, high * 1.05, left, width - right, log=True)
    bottom = 10 + height * len(rows)
    parts = [line(scale(tick), 10, scale(tick), bottom, "grid") +
             text(scale(tick), bottom + 14, f"{tick:.4g}", "middle", "small")
             for tick in scale.ticks()]
    for i, (label, values, kind) in enumerate(rows):
        y = 10 + i * height

        def at(p, values=values):
            return scale(values[round(p * (len(values) - 1))] * 1e3)

        middle = values[len(values) // 2] * 1e3
        parts += [text(left - 8, y + 15, label, "end"),
                  line(at(0), y + height / 2, at(0.99), y + height / 2, "whisker"),
                  rect(at(0.25), y + 5, max(2, at(0.75) - at(0.25)), height - 10, kind,
                       f"{label}: median {middle:.4g} ms"),
                  line(at(0.5), y + 3, at(0.5), y + height - 3, "median")]
    return picture(width, bottom + 20, parts, "distribution of latencies")


def roofline(points, peak, width=WIDTH, height=380):
    """points are (FLOP per byte, GFLOP/s, label, kind); peak has gflops, memory_gbs, l2_gbs."""
    left, right, top, bottom = 60, 20, 15, height - 40
    intensities = [point[0] for point in points]
    rates = [point[1] for point in points]
    x = Scale(min(intensities + [0.1]) / 1.5, max(intensities + [100]) * 2, left, width - right, True)
    y = Scale(min(rates + [1]) / 2, max(rates + [peak["gflops"]]) * 1.6, bottom, top, True)
    parts = []
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), bottom, "grid"),
                  text(x(tick), bottom + 15, f"{tick:g}", "middle", "small")]
    for tick in y.ticks():
        parts += [line(left, y(tick), width - right, y(tick), "grid"),
                  text(left - 6, y(tick) + 4, f"{tick:g}", "end", "small")]
    for rate, name in ((peak["memory_gbs"], "memory"), (peak["l2_gbs"], "L2")):
        start = max(x.low, y.low / rate)
        ridge = min(peak["gflops"] / rate, x.high)
        middle = math.sqrt(start * ridge)
        parts += [line(x(start), y(rate * start), x(ridge), y(rate * ridge), "roof"),
                  text(x(middle) + 12, y(rate * middle) + 12, f"{name} {rate:.0f} GB/s")]
    flat = min(peak["gflops"] / rate for rate in (peak["memory_gbs"], peak["l2_gbs"]))
    parts += [line(x(flat), y(peak["gflops"]), width - right, y(peak["gflops"]), "roof"),
              text(width - right, y(peak["gflops"]) - 6, f"{peak['gflops']:.0f} GFLOP/s", "end",
                   "small")]
    for intensity, rate, label, kind in points:
        parts.append(circle(x(intensity), y(rate), 4, kind,
                            f"{label}: {rate:.3g} GFLOP/s at {intensity:.3g} FLOP/byte"))
    parts += [text(width / 2, height - 8, "FLOP per byte of weights, input and output", "middle",
                   "small"), text(8, 12, "GFLOP/s", "start", "small")]
    return picture(width, height, parts, "roofline")
