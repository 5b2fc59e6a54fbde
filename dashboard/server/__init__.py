"""The dashboard's server: what lies between the browser and the pages."""
