"""Reports and pages: one document model, its sections and its renderers."""
