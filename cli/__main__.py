"""`python -m cli`, and so `torchrun --nproc-per-node N -m cli train`."""

from cli.app import main

if __name__ == "__main__":
    main()
