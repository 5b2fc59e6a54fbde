"""Inference: a hospital's own records scored by a released model, with a log of what was asked.

Rules:

1. Nothing is loaded before the parameters have the digest that the snapshot, or the coordinator's
   signed statement of the run's end, names.
2. A record is read by the study's contract as in training, but for the label and the window of
   time, which choose records to learn from. What does not fit is not scored, and told with its
   reason.
3. The log of queries holds times, names, counts and keyed digests; never a value of a record.
4. Scores are rounded to six decimals, so that they do not depend on how records are batched.
"""
