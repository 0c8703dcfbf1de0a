"""What a source of data says before anything is decoded: the seam between a format and the cache.

Shapes: N pictures of a part, B of a block, H and W in pixels, C = 3 colours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ablation.arrays import Int, UInt8

Decode = Callable[[int, Counter[str]], Iterator[UInt8[npt.NDArray[np.uint8], "B H W C"]]]


@dataclass(frozen=True)
class SourcePart:
    """The train or test part of a source.

    Attributes:
        labels_N: class indices, int64, 0-based.
        names: what each picture is called in its source.
        decode: given a side in pixels and a counter of remarks on single pictures, yields uint8 blocks (B, H, W, C) in
            the order of the labels; raises FaultsError at the end if pictures could not be decoded.
    """

    labels_N: Int[npt.NDArray[np.int64], " N"]
    names: tuple[str, ...]
    decode: Decode


@dataclass(frozen=True)
class Source:
    """Everything known of a data set before it is decoded.

    Attributes:
        class_names: names in the order of the 0-based labels.
        fingerprint: 32 hexadecimal digits that change with any byte or label; meaningless if there are faults.
        train: pictures to learn from.
        test: pictures to score once.
        faults: what is wrong with labels and layout; pictures that cannot be decoded are found by decoding.
        repeated: names of test pictures that are train pictures, too.
    """

    class_names: tuple[str, ...]
    fingerprint: str
    train: SourcePart
    test: SourcePart
    faults: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
