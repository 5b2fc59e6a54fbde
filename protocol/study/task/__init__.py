"""The task and the network of a study: names, sizes and bounds, no code."""
