"""The front door: the ``collegium`` command, simulations and sweeps.

The only place that assembles silos *and* coordinator.
"""
