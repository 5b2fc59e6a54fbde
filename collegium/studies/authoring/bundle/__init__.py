"""MONAI bundles, read as data: files, configuration, network, preprocessing, weights.

Nothing of a bundle is imported, evaluated or unpickled.
"""
