"""python -m wrapper"""

from wrapper.cli import main

main()
