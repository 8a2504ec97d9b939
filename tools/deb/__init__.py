"""Makes the Debian package of Writ for Raspberry Pis and PCs: `tools/build_deb.py`."""
