"""The metric example-metric, a plugin of nearkin."""

import nearkin as nk


@nk.metric("example-metric", axioms={"non-negative", "identity", "symmetric", "triangle"})
def example_metric_distance(a, b):
    """Σ |a_i - b_i| / (|a_i| + |b_i|), the Canberra distance, to be replaced by your own.

    Columns that are 0 in both rows count 0.

    Source: G. N. Lance and W. T. Williams, "Computer programs for hierarchical polythetic classification" (1966).
    """
    total = 0.0
    for i in range(a.shape[0]):
        magnitude = abs(a[i]) + abs(b[i])
        if magnitude > 0.0:
            total += abs(a[i] - b[i]) / magnitude
    return total
