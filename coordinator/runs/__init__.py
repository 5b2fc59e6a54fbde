"""Runs over the network: the service, its threads, who takes part, how far they are."""
