"""`python -m recipes SESSION`: what the nox sessions call."""

import sys

from recipes.cli import main

sys.exit(main())
