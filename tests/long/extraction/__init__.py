"""The alarm on extraction-like use, measured: wrong alarms on real records, and attacks by kind."""
