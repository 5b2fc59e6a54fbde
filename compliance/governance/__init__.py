"""Decisions about studies: approvals, the documents approved, promises held to the study."""
