"""The rules and the evidence: privacy accounting, exact noise, and the hospital's ledger.

Looks down to ``protocol`` only. SQLAlchemy is imported in
``storage`` alone; torch never.
"""
