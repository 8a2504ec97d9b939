"""A scope on a host: its folder, issuing and reviewing capsules, delivering them to devices."""
