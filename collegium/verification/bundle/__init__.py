"""Evidence bundles: one file that holds a folder's records, for an auditor who has nothing else.

``packing`` is the form of the file, ``export`` writes one from a folder, ``restoring`` makes a
folder of one again, so that it is verified as every folder is; ``single_file`` is a verifier of
its own that imports nothing of Collegium.
"""
