"""Orders with defined ties."""

from __future__ import annotations

from torch import Tensor


def top_in_order(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest values of each row and their columns; ties go to the lower column.

    Args:
        values: (n, K) without NaN.
        k: at most K.

    Returns:
        (n, k) values, the highest first, and (n, k) columns.
    """
    if k == 0 or len(values) == 0:
        return values[:, :k], values[:, :k].long()
    top = values.topk(k, dim=1)
    # Torch does not define which of several values equal to the k-th it takes.
    if bool(((values >= top.values[:, -1:]).sum(dim=1) > k).any()):
        every = values.sort(dim=1, descending=True, stable=True)
        return every.values[:, :k], every.indices[:, :k]
    columns = top.indices.sort(dim=1).values
    order = values.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return order.values, columns.gather(1, order.indices)


def length_normalised(log_prob: float, num_labels: int) -> float:
    """Nats per label, where the end of the utterance counts as one (Graves 2012, last line).

    Graves divides by the number of labels, which is undefined without labels.
    """
    return log_prob / (num_labels + 1)
