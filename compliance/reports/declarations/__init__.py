"""Declarations: statements that only people can make, from a consortium's ``consortium.yaml``."""

from compliance.reports.declarations.consortium_file import DECLARATIONS_FILE, declarations_of
from compliance.reports.declarations.record import (
    Approver,
    Declaration,
    Declarations,
    Signatory,
    read_declarations,
)
from compliance.reports.declarations.template import declarations_schema, declarations_template

#: What reports and commands use.
__all__ = [
    "Approver",
    "Declaration",
    "DECLARATIONS_FILE",
    "Declarations",
    "Signatory",
    "declarations_of",
    "declarations_schema",
    "declarations_template",
    "read_declarations",
]
