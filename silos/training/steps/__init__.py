"""Steps of training: their public form, and the cycles of those whose noise is correlated."""
