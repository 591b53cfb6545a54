"""`python -m labelmill`: starts the program that was installed with this package."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def find_program() -> str:
    """Finds the program: beside this Python, where the user's own packages go, or on the PATH."""
    name = "labelmill" + sysconfig.get_config_var("EXE") if sysconfig.get_config_var("EXE") else "labelmill"
    schemes = [None, f"{os.name}_user"]
    folders = [sysconfig.get_path("scripts") if scheme is None else sysconfig.get_path("scripts", scheme) for scheme in schemes]
    folders.append(str(Path(sys.executable).parent))
    for folder in folders:
        if folder and (program := Path(folder) / name).is_file():
            return str(program)
    if program := shutil.which(name):
        return program
    sys.exit(f"labelmill: the program is in none of {', '.join(filter(None, folders))}; install the package again")


if __name__ == "__main__":
    program = find_program()
    os.execv(program, [program, *sys.argv[1:]])
