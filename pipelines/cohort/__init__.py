"""A cohort from its source: encoded by the contract, checked, split, and dealt in simulations."""
