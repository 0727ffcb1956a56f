"""Orders in which ties are defined."""

from __future__ import annotations

from torch import Tensor


def top_in_order(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest values of each row and their columns, of equal ones the lower column first.

    Args:
        values: (n, K) without NaN.
        k: at most K.

    Returns:
        (n, k) values, the highest first, and (n, k) columns.
    """
    if k == 0 or len(values) == 0:
        return values[:, :k], values[:, :k].long()
    top = values.topk(k, dim=1)
    # Which of several values that are equal to the k-th it takes is left open by torch.
    if bool(((values >= top.values[:, -1:]).sum(dim=1) > k).any()):
        every = values.sort(dim=1, descending=True, stable=True)
        return every.values[:, :k], every.indices[:, :k]
    columns = top.indices.sort(dim=1).values
    order = values.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return order.values, columns.gather(1, order.indices)


def length_normalised(log_prob: float, num_labels: int) -> float:
    """Nats a label, where the end of the utterance counts as one (Graves 2012, last line).

    Graves divides by the number of labels, and leaves open what that is without any.
    """
    return log_prob / (num_labels + 1)
