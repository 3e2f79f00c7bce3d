"""The faults, one module each; every one is a function from settings to figures."""
