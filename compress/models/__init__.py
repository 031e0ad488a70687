"""Networks, how they are built, saved and counted."""
