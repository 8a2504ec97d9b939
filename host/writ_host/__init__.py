"""Writ's host side, CPython only: governors, their ceremonies and the command line."""
