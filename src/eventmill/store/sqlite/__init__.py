"""The embedded engine: one writing process, day-segmented SQLite files."""
