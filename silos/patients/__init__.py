"""A hospital's patients: frozen cohorts, consent and opt-outs, and what is kept of them how long.

Rules:

1. A study runs on a frozen cohort. Whoever left since is left out; any other difference is refused.
2. Patients stand here under keyed hashes, never under their keys, and what is said of
   them is counts. Only ``used_patients`` answers about one of them, to the hospital's own people.
3. Nothing of it is sent but a random number that names a frozen cohort.
"""
