"""A sweep: one study over several epsilons, seeds and modes, in one folder."""
