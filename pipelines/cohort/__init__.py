"""A cohort from its source: encoded by the contract, checked, split; partitioned in simulations."""
