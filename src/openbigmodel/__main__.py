"""`python -m openbigmodel` is the command `bigmodel`."""

from openbigmodel.cli.main import main

if __name__ == "__main__":
    main()
