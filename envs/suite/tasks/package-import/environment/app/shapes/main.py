"""python -m shapes FILE"""

import sys

from codec import load


def main(argv):
    if len(argv) != 1:
        print("usage: python -m shapes FILE", file=sys.stderr)
        return 2
    with open(argv[0], encoding="utf-8") as file:
        scene = load(file.read())
    print(f"area {scene.area():.2f}")
    box = scene.box()
    print("box", "empty" if box is None else " ".join(f"{value:g}" for value in box))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
