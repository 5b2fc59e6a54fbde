"""What a hospital counts of its patients in an evaluation, or of its columns: noised at once."""
