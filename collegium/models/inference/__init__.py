"""Inference at a hospital: batches of records, and a service that scores them over HTTP."""
