"""Exports of released models: one signed folder that other software uses and anybody verifies.

``exporting`` writes a folder from a consortium's, ``verifying`` checks one that was handed over and
needs nothing else. ``forms`` are the model as other software takes it, ``documents`` what people
and inventories read of it; ``released`` is all that a folder is made of.
"""
