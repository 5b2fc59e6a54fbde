"""The end of a run: the statement that hospitals settle by, and the snapshot that they sign."""
