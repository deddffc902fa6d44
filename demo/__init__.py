"""The demonstration: `make demo`, and the sample service that it and the tests deploy."""
