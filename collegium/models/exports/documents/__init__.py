"""Documents of an exported folder: the model card for people, the inventory for machines."""
