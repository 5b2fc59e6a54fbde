"""From cells to numbers by the contract: units, dates, outcomes, and an order of records."""
