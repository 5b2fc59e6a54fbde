"""The workers of a hospital: on its own machine, or on the nodes of a Ray cluster that it names."""
