"""Advice before anybody trains: settings, the AUROC to expect, what an evaluation can say."""
