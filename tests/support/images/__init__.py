"""Files of images that tests write: NIfTI, DICOM and folders with a table of labels."""
