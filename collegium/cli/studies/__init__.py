"""Commands of studies and of their simulations."""
