"""`python -m unlearning <command>` is `unlearning <command>`."""

from unlearning.commands import main

if __name__ == "__main__":
    main()
