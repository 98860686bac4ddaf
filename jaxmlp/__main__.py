"""`python -m jaxmlp`, the same as the console script `jaxmlp`."""

from jaxmlp.cli import command

if __name__ == "__main__":
    command()
