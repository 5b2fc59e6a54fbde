"""Study documents that `study new` writes: from a template, or from a MONAI bundle."""
