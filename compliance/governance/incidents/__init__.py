"""Incidents: their course from open to closed, and the playbook of each kind."""
