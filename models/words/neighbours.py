"""The words whose vectors point the same way: `python neighbours.py MODEL.bmz WORD...` prints six for each word."""

import sys

import numpy as np

import bmc


def neighbours(model: bmc.Model, word: str, count: int = 6) -> list[str]:
    """The words of the vocabulary with the largest cosine to `word`, the nearest first."""
    vocabulary = model.vocabulary("centre")
    vectors = model.weights["word.w"][: len(vocabulary.parts)]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    (place,) = vocabulary.encode(word)
    nearest = np.argsort(-(vectors @ vectors[place]))
    return [vocabulary.decode([int(i)]) for i in nearest if i != place][:count]


if __name__ == "__main__":
    trained = bmc.load(sys.argv[1])
    for asked in sys.argv[2:]:
        print(f"{asked}: {', '.join(neighbours(trained, asked))}")  # noqa: T201
