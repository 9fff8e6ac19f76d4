"""What a method says of its training: the request, the step that an objective sees, optimisation, mixing."""
