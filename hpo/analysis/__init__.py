"""What can be concluded from the trials of a run: diagnosis, importance, curves, selection, edges of the space."""
