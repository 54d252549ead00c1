"""What is decided: pure functions and tables. No I/O, no clock, no randomness, no logging."""
