"""``python -m ltbench``, which also is what ``accelerate launch -m ltbench`` and torchrun start."""

from ltbench.cli import main

main()
