"""The structure of the product: levels, layers and names."""
