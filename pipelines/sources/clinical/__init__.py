"""Clinical records: a table made of OMOP tables or FHIR resources, by what a study says of columns.

Rules:

1. One row is one person, or one of a person's index events; its cells are text under the names of
   the study's columns. Rows stand in the order of the patients' keys, then of their days.
2. A record counts by what it says and never by what is likely: another unit, a reference to nobody
   and a person written twice are refused; what is left out is counted, with its reason.
3. A day is the one on the hospital's clock. What a partial date cannot decide is left out.
4. Counts below ten are told as "fewer than 10".
"""
