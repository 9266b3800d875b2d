"""Physics in NumPy: data sets made on the spot whose best possible result is known."""
