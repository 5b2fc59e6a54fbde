"""A GPU beside the processor: ``make gpu-check`` runs it, and skips where there is no GPU."""
