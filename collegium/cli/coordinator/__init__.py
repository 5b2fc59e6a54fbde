"""The commands of ``collegium coordinator``: members and roster, the service, its runs."""
