"""Medians, percentiles and ratios: no input or output here."""

import math


def percentile(values, p):
    """The smallest value that at least the fraction p of all do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(p * len(ordered)) - 1)]


def median(values):
    """The middle value, or the mean of the two in the middle."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def geometric_mean(values):
    if not values:
        raise ValueError("no values")
    return math.exp(sum(math.log(value) for value in values) / len(values))


def thinned(values, count):
    """At most `count` values at equal distances of rank, the smallest and the largest included."""
    ordered = sorted(values)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def ratios(rounds, base):
    """rounds[engine] is a list with the median of each round, None where the engine did not run.

    Returns for every other engine {"median", "low", "high"} over the rounds of
    engine / base: above 1 where the base is faster. low and high are the quartiles. The machine
    drifts, but hardly within a round, so only values of the same round are divided.
    """
    result = {}
    for engine, values in rounds.items():
        if engine == base:
            continue
        found = [value / reference for value, reference in zip(values, rounds.get(base, []))
                 if value is not None and reference is not None]
        if found:
            result[engine] = {"median": median(found), "low": percentile(found, 0.25),
                              "high": percentile(found, 0.75)}
    return result


def best_peer(found, allowed):
    """The fastest of the engines in `allowed` by ratios(), or None."""
    candidates = [engine for engine in found if engine in allowed]
    return min(candidates, key=lambda engine: found[engine]["median"], default=None)


def relative_error(output, reference):
    """Largest error over largest reference; infinity where anything is not a finite number or the
    sizes differ."""
    if len(output) != len(reference) or not reference:
        return math.inf
    largest = max(abs(value) for value in reference)
    error = 0.0
    for value, expected in zip(output, reference):
        difference = abs(value - expected)
        if not difference <= math.inf or math.isinf(value):
            return math.inf
        error = max(error, difference)
    return error / largest if largest > 0 else math.inf
