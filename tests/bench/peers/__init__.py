"""Programs that run in the peers' own virtual environment (`make bench-peers`); nothing of the project imports them."""
