"""FHIR R4: resources as a server's bulk export writes them, a JSON object on each line.

Sources: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/; FHIR Bulk Data Access 2.0,
https://hl7.org/fhir/uv/bulkdata/.
"""
