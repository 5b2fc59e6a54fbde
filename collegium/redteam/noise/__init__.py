"""Attacks on the noise: what hospitals release when an auditor chooses the gradients."""
