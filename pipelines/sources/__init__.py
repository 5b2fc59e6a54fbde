"""Records as hospitals have them: sources that a site file names, read by a study's contract.

Rules:

1. A hospital says where its records lie and how they are written; a study says what they mean.
2. Whatever a source is made of, a table comes out as the same cells of text and images as the same
   arrays, so that the same cohort has the same digest whichever way it was read.
3. Every fault is told with source, column and line, its count and a remedy; never a value.
"""
