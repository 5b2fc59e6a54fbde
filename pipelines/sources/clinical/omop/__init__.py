"""OMOP: the tables of the Common Data Model 5.4, in a folder or in a database.

Source: OHDSI, OMOP Common Data Model v5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html.
"""
