"""Scans: images in files of their own, NIfTI, DICOM or pictures, read by what the study expects.

Rules:

1. The form of an image is known from its header, and checked, before a pixel is read: a file that
   asks for more memory than it has bytes, or than an image may have, is refused.
2. From a header is taken what stands in ``dicom.header`` and ``nifti``, and nothing else: no
   private element, no extension, no text of a person.
3. A refusal holds no value of a header and none of a library's words, which may quote one; it
   names no file either: whoever asked knows which table's line it was.
"""
