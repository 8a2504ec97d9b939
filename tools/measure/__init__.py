"""The benchmarks behind `make bench`; each module measures one kind of thing beside its peers."""
