"""``python -m tfsci`` is the ``tfsci`` command."""

from tfsci.cli import main

if __name__ == "__main__":
    main()
