"""What it costs to know the content of a dataset of image files: the first start reads every file, later ones ask for times.

    python tests/benchmarks/fingerprint.py [--images 115846] [--bytes 1000] [--folder DIR]

Files of random bytes, as many as ImageNet-LT has for training, in 1,000 class folders. Each start is a process of its own, and
what is measured is from the dataset to its fingerprint, without imports. Goal: a second start in less than 2 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = 1000

START = """
import json, sys, time
from pathlib import Path
from ltbench_datasets.folder import Folder, FolderOptions
began, worked = time.perf_counter(), time.process_time()
dataset = Folder(FolderOptions(train=".", test_per_class=2, val_per_class=2), Path(sys.argv[1]))
images = sum(map(len, dataset.lists.values()))
listed = time.perf_counter()
print(json.dumps({"listing": listed - began, "images": images, "fingerprint": dataset.fingerprint,
                  "content": time.perf_counter() - listed, "work": time.process_time() - worked}))
"""


def plant(root: Path, images: int, size: int) -> None:
    """The files; no image, as none is decoded."""
    rng = np.random.default_rng(0)
    for number in range(images):
        folder = root / f"{number % CLASSES:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number // CLASSES:04d}.jpg").write_bytes(rng.bytes(size))


def start(root: Path, cache: Path) -> dict[str, float]:
    """Seconds of one start in a process of its own."""
    environment = os.environ | {"LTBENCH_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", START, str(root)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=115_846)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where to make the files; by default the folder of temporary files")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        root, cache = Path(place) / "images", Path(place) / "cache"
        plant(root, asked.images, asked.bytes)
        time.sleep(3)  # a file that has just been made is not remembered
        found = [start(root, cache) for _ in range(3)]
        (root / "0000" / "0000.jpg").write_bytes(b"another image")
        found.append(start(root, cache))
    for name, each in zip(("first start", "second start", "third start", "one file changed"), found, strict=True):
        print(
            f"{name:17} {each['listing'] + each['content']:6.2f} s: {each['listing']:.2f} s to list "
            f"{each['images']:,} images, {each['content']:.2f} s to know what they hold; "
            f"{each['work']:.2f} s of processor time"
        )
    assert found[0]["fingerprint"] == found[1]["fingerprint"] == found[2]["fingerprint"] != found[3]["fingerprint"]


if __name__ == "__main__":
    main()
