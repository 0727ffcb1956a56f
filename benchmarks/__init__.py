"""The cost of our losses and searches compared with other packages; see README.md."""
