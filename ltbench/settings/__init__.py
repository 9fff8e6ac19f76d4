"""From a command line to complete, checked settings: layers, recipes, errors."""
