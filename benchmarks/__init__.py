"""What the losses cost beside other packages' losses; see README.md."""
