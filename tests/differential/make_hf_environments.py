"""Make the environments that `test_hf.py` compares with: `python make_hf_environments.py FOLDER [newest] [4.56.2]`.

The tests find them by `MISTRAL_TOK_HF_ENVIRONMENTS=FOLDER`. Needs PyPI; each takes about a minute and a gigabyte.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENTS = {
    "newest": ["transformers==5.23.0", "mistral-common==1.13.1"],
    "4.56.2": ["transformers==4.56.2", "mistral-common==1.8.5"],
}
COMMON = ["torch==2.13.0", "sentencepiece>=0.2", "opencv-python-headless>=4.9", "pillow>=10.3"]


def make(folder: Path, packages: list[str]) -> None:
    """Make one virtual environment, unless it is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, symlinks=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages, *COMMON], check=True)


def main() -> None:
    """Make those that are named, by default all."""
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= ENVIRONMENTS.keys():
        sys.exit(__doc__)
    for name in sys.argv[2:] or ENVIRONMENTS:
        make(Path(sys.argv[1]) / name, ENVIRONMENTS[name])
        print(f"{Path(sys.argv[1]) / name}: {', '.join(ENVIRONMENTS[name])}")


if __name__ == "__main__":
    main()
