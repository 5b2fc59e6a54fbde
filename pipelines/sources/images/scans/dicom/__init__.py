"""DICOM: single images, series of slices, multi-frame images and segmentations (DICOM PS3.3)."""
