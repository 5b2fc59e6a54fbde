"""Decisions about studies: approvals, approved documents, promises."""
