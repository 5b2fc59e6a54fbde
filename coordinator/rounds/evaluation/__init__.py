"""Evaluation: the released figures of every task, from its noised sum and the sites' own tables.

Rules:

1. Everything here is arithmetic on counts that are already noised, so it costs no privacy.
2. Intervals are 95 % and cover both the sampling of patients and the noise; where the noise
   drowns the patients a figure is withheld, and says why.
3. One file a task, with one ``EvaluationReader``; ``registry`` names them all.
"""
