"""The Console API: organisations, projects, workspaces and credentials, as the official command line manages them."""
