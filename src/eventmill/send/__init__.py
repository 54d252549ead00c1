"""Everything that leaves: guarded dialling, webhooks, challenges, Runtime actions, event buses."""
