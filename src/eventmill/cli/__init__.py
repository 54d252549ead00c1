"""The `eventmill` command, one file per noun."""
