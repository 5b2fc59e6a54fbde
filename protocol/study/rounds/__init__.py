"""One training round of a study: its vector, its noise shares, and the mean of its sum.

Everything here follows from the study, the round's number and its model, so that hospitals, the
coordinator and an auditor compute the same.
"""
