"""Comparisons of arms whose replicates are no pairs: Welch's t with Holm, in the columns of paired comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import inference
from analysis.effects import matrix
from analysis.question import Question
from analysis.statistics import effect_sizes
from analysis.statistics.welch import detectable_unpaired, equivalence_p, unpaired_difference

ONLY_OF_PAIRS = (*("sd_moderated", "p_t", "p_flip", "p_flip_floor", "d_z", "g_z", "g_low", "g_high", "wins"),)


def unpaired_comparisons(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Test a question's comparisons of the primary metric by Welch's t, with Holm over the whole list.

    Columns as ``effects.comparisons_table`` has them, with these differences: n is the number of replicates of the arm
    that has fewer; sd is that of the difference between one replicate of each arm; dropped is empty, and what has a
    meaning for pairs alone is NaN. Beside them sd_arm, sd_against (of single replicates) and df (Welch's).
    """
    arms, against = zip(*study.comparisons, strict=True)
    arm_CR, against_CR = (matrix(table, names, study.metric)[0] for names in (arms, against))
    found, sign = unpaired_difference(arm_CR, against_CR), study.primary.sign
    frame = pd.DataFrame({"arm": arms, "against": against, "n": found.n, "dropped": ""})
    frame["difference"], frame["low"], frame["high"] = found.difference, found.low, found.high
    frame["sd_arm"], frame["sd_against"] = found.sds
    frame["sd"], frame["df"] = np.hypot(*found.sds), found.df
    frame["p"] = found.p
    frame["p_holm"], frame["significant"] = inference.holm(found.p)
    frame["detectable"] = detectable_unpaired(found, inference.ALPHA / len(arms))
    better = effect_sizes.probability_of_improvement(sign * arm_CR, sign * against_CR)
    frame["improvement"], frame["improvement_low"], frame["improvement_high"] = better
    frame["p_equivalent"], frame["equivalent"] = np.nan, False
    if (margin := study.smallest_effect) is not None:
        frame["p_equivalent"], frame["equivalent"] = inference.holm(equivalence_p(found, margin))
    return frame.assign(**dict.fromkeys(ONLY_OF_PAIRS, np.nan))
