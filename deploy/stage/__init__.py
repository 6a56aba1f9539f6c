"""What the tests of the deployments share: a README that is followed, and a container as a platform runs it."""
