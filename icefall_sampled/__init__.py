"""RNN-Transducers trained with sampled softmax: everything that is never the experiment."""
