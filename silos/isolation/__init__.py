"""The process that holds records: no key, no way out, plain values in and out."""
