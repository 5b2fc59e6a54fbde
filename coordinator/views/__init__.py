"""Read-only queries of the consortium's database: what pages, reports and commands show."""
