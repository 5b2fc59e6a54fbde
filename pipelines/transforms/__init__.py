"""Transforms of images by MONAI, from a list: preprocessing once, augmentation in every step."""
