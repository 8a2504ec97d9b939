"""The benchmarks of `make bench`: each module measures one subject, with reference figures."""
