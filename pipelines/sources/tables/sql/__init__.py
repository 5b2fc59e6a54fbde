"""Records that a query of the hospital's own gives, from any SQL database that SQLAlchemy reaches.

Rules:

1. Nothing is written: the query is one SELECT, its transaction reads only where the database knows
   such a thing (PostgreSQL, SQLite), and it is rolled back.
2. What a driver says may hold a password, the query or a patient's value. No message, log or chain
   of exceptions of ours holds any of it: a fault is named by its class, its SQLSTATE and a
   fingerprint, with a remedy.
3. A query that fails half-way gives no records at all.
"""
