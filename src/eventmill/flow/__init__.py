"""The product, one file per arrow: ingest, deliver, journal, upkeep. Stages meet only in the store."""
