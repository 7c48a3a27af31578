"""What simulations run on: a disk that loses its power, and the test that cuts it."""
