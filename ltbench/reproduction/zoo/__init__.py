"""Every method beside the others: accuracy, cost, and whether it does what its source says. From records alone."""
