"""Measures of fairness, as the authors of VTC define them (Sheng et al., OSDI'24)."""

from __future__ import annotations

from fairness.simulate import INPUT_WEIGHT, OUTPUT_WEIGHT
from fairness.workers import PROFILES


WARM_UP = 30.0

FILL = 0.85  # `GateOptions.fill`


def bound(workload) -> float:
    """Return 2U: two tenants that wait all the time differ by no more service.

    U = max(w_p * longest prompt, w_q * M), M the tokens that may be in flight. Headroom is not
    counted in: the bar is the stricter one.
    """
    longest = max(one.input_tokens for one in workload.arrivals)
    in_flight = FILL * PROFILES[workload.profile]["kv_tokens"] + longest
    return 2 * max(INPUT_WEIGHT * longest, OUTPUT_WEIGHT * in_flight)


def largest_gap(run, weights=None) -> float:
    """Return the largest difference in service over weight, of any interval in which both wait."""
    weights = weights or {}
    lowest, highest, worst = {}, {}, 0.0
    for sample in run.samples:
        waiting = sorted(sample.waiting)
        pairs = set()
        for index, one in enumerate(waiting):
            for other in waiting[index + 1 :]:
                pair = one, other
                pairs.add(pair)
                gap = sample.service.get(one, 0.0) / weights.get(one, 1.0)
                gap -= sample.service.get(other, 0.0) / weights.get(other, 1.0)
                low = lowest[pair] = min(lowest.get(pair, gap), gap)
                high = highest[pair] = max(highest.get(pair, gap), gap)
                worst = max(worst, gap - low, high - gap)
        for pair in lowest.keys() - pairs:
            del lowest[pair], highest[pair]
    return worst


def windowed_difference(run, weights=None, window: float = 60.0) -> float:
    """Return the mean of sum_i min(max_j W_j - W_i, |demand_i - W_i|) per second, of windows.

    What a tenant lacks against the best served one, as far as it had asked for it; over weights.
    """
    weights = weights or {}
    differences = []
    first = 0
    for sample in run.samples:
        while sample.at - run.samples[first].at > window:
            first += 1
        begin = run.samples[first]
        seconds = sample.at - begin.at
        if seconds < window / 2:
            continue
        tenants = sample.demand
        scale = {t: 1.0 / seconds / weights.get(t, 1.0) for t in tenants}
        had = {
            t: (sample.service.get(t, 0.0) - begin.service.get(t, 0.0)) * scale[t] for t in tenants
        }
        asked = {t: (sample.demand[t] - begin.demand.get(t, 0.0)) * scale[t] for t in tenants}
        most = max(had.values())
        differences.append(sum(min(most - had[t], abs(asked[t] - had[t])) for t in tenants))
    return sum(differences) / len(differences) if differences else 0.0


def jain(values) -> float:
    """Return Jain's index, 1 / n to 1: (sum x)^2 / (n sum x^2)."""
    values = list(values)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def max_min_shares(demand, total, weights=None):
    """Return the weighted max-min fair shares of ``total``: nobody gets more than it asks for.

    Example:
        >>> max_min_shares({"a": 10, "b": 100, "c": 100}, 90)
        {'a': 10, 'b': 40.0, 'c': 40.0}
    """
    weights = weights or {}
    shares, left = {}, dict(demand)
    while left:
        level = total / sum(weights.get(t, 1.0) for t in left)
        content = [t for t, asked in left.items() if asked <= level * weights.get(t, 1.0)]
        if not content:
            shares.update({t: level * weights.get(t, 1.0) for t in left})
            break
        for t in content:
            shares[t] = left.pop(t)
            total -= shares[t]
    return dict(sorted(shares.items()))


def fairness_index(run, weights=None) -> float:
    """Return Jain's index of what each tenant got, over its max-min fair share; 1 is fair."""
    last = run.samples[-1]
    fair = max_min_shares(last.demand, sum(last.service.values()), weights)
    return jain(last.service.get(t, 0.0) / share for t, share in fair.items())


def steady_service(run, tenants):
    """Return what each tenant got while all had jobs waiting, from 30 s after that began.

    Until then the counters even out what tenants got while some of them did not wait.
    """
    all_wait = [sample for sample in run.samples if sample.waiting.issuperset(tenants)]
    begin = all_wait[0].at + WARM_UP
    all_wait = [sample for sample in all_wait if sample.at >= begin]
    first, last = all_wait[0], all_wait[-1]
    return {t: last.service[t] - first.service[t] for t in tenants}


def weight_error(run, weights) -> float:
    """Return the largest part by which a tenant's service is off its weight's share."""
    got = steady_service(run, weights)
    whole, total = sum(weights.values()), sum(got.values())
    return max(abs(got[t] / total / (weights[t] / whole) - 1.0) for t in weights)


def quantile(values, part: float) -> float:
    """Return the value below which ``part`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def of(run, tenants) -> list[float]:
    """Return the first tokens of ``tenants``, seconds."""
    return [value for tenant in tenants for value in run.first_tokens[tenant]]
