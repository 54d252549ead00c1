"""The tables of everything that is served, one module per noun: method, path, handler, and its description."""
