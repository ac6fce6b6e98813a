"""Cleaning, near-duplicate keys, redaction and chunking: the same for ingest, query logging and training."""
