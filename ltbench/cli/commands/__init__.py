"""One module a command, each holding it as ``command``."""
