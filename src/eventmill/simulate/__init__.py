"""A small invented company whose people and machines cause events of the built-in channels, repeatably."""
