"""Speed as ratios: our work over a floor measured in turn in the same run. Nothing here is asserted."""
