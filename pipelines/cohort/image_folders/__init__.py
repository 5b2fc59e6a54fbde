"""Images in a folder and a table that names them, read as one source of records.

A source that is above the others: it reads its table by ``table_encoding``, as any table is read.
"""
