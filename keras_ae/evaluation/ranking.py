"""Several seeds to a mean, a spread and an honest ranking."""

from __future__ import annotations

import math
import statistics


def spread(values: list[float]) -> dict:
    """`{"mean", "std", "num"}` of the finite values; `std` (of a sample, n - 1) is None for one."""
    values = [value for value in values if value is not None and math.isfinite(value)]
    if not values:
        return {"mean": None, "std": None, "num": 0}
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "num": len(values)}


def ranked(values: dict[str, list[float]], better: str, level: float = 0.05) -> list[list[str]]:
    """Labels from best to worst, those that cannot be told from a group's best in its group.

    Two labels are told apart where Welch's t-test on their seeds gives p < `level`. A label with
    one seed is a group of its own: nothing can be said of it.

    Args:
        values: One value a seed, for each label.
        better: "lower" or "higher".
        level: Of the test, in (0, 1).
    """
    sign = 1 if better == "lower" else -1
    order = sorted(values, key=lambda label: sign * statistics.fmean(values[label]))
    groups: list[list[str]] = []
    for label in order:
        if groups and indistinguishable(values[groups[-1][0]], values[label], level):
            groups[-1].append(label)
        else:
            groups.append([label])
    return groups


def indistinguishable(first: list[float], second: list[float], level: float) -> bool:
    """Whether Welch's t-test fails to tell the means of two samples apart."""
    if len(first) < 2 or len(second) < 2:
        return False
    if statistics.pvariance(first) == statistics.pvariance(second) == 0.0:
        return statistics.fmean(first) == statistics.fmean(second)
    from scipy.stats import ttest_ind

    return bool(ttest_ind(first, second, equal_var=False).pvalue >= level)


def sentence(values: dict[str, list[float]], level: float = 0.05) -> str:
    """What a ranking of these values can and cannot say."""
    numbers = sorted({len(seeds) for seeds in values.values()})
    if numbers[-1] < 2:
        return "One seed each: whether another seed would order them otherwise is not known."
    seeds = " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))
    words = (
        f"{seeds} seeds each. Within a group nothing can be told from the group's first "
        f"(Welch's t-test, p >= {level}, not corrected for the number of pairs)."
    )
    if numbers[0] < 2:
        words += " Those with one seed stand alone, untested."
    return words
