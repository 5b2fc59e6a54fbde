"""Decisions about studies: approvals, approved documents, promises; and the audit log."""
