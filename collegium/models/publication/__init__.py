"""Publications of runs: a run as RO-Crate, a cohort as Croissant, a kit to do it again.

Each is a folder or file that other software reads and checks. Nothing in it is a patient's, an
exact figure or a small count; what was released stands there as it was released.
"""
