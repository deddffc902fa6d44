"""The sample service of the demo and of the tests: small, real, and able to fail on request."""
