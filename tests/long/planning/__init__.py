"""Advice of ``collegium study plan``, measured on drawn cohorts against a grid of settings.

``python -m tests.long.planning --data DIR`` writes the table of ``docs/planning.md``. Rules:

1. A cohort is drawn from real records: so many patients, so many of them ill, parted
   among so many hospitals of one size. 30 % of them are test patients, drawn by class.
2. Advice comes from ``compliance.planning.advice`` alone, noise from
   ``compliance.privacy.accounting``.
   It knows counts and the prevalence of the training patients, nothing else.
3. Training is private gradient descent for logistic regression on the pooled records,
   with the noise that the hospitals add together: what rounds of one step compute
   (``tests/unit/collegium/studies/test_planning_cohorts.py`` holds it against a
   hospital's own trainer).
4. The grid's best is the best of its measured means, so it is chosen with hindsight.
"""
