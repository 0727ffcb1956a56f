"""Tables of results over seeds, from one small file for each training run."""
