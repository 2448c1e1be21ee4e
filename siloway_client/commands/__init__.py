"""The sub-commands of `siloway`, a file for each noun."""
