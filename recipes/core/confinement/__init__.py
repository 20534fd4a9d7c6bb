"""Ways to start a program that sees only what it is given. They import the standard library and each other."""
