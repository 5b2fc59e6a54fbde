"""Numbers from which on something is said of records, or they are refused."""

#: Of fewer cells, numbers or rows no part means anything.
FEW = 10
#: Above this part of the rows or cells a fault is the whole column's or file's, and is remarked.
MANY = 0.05
#: Above this part of a column's numbers, or of the rows, the records are implausible.
MOST = 0.5
