"""Attacks on a trained model: canaries, membership inference, inversion."""
