"""The Console API: organizations, projects, workspaces and credentials, as the official command line manages them."""
