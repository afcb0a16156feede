"""``python -m bestiary``: run the command line."""

from bestiary.cli import run

if __name__ == "__main__":
    run()
