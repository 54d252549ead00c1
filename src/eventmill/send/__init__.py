"""Everything that leaves: guarded dialling, webhooks, challenges."""
