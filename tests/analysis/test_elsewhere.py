"""Tables of results from elsewhere: what their columns are, what is guessed and said, and every fault at once."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ablation.faults import FaultsError
from analysis.elsewhere.asked import Asked
from analysis.elsewhere.reading import read
from analysis.elsewhere.results import Results, understood

Written = Callable[..., str]
PLAIN = "model,seed,accuracy\nfull,1,0.8\nfull,2,0.7\nplain,1,0.6\nplain,2,0.65\n"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str, name: str = "results.csv") -> str:
        (tmp_path / name).write_bytes(text.encode())
        return str(tmp_path / name)

    return write


def faults(path: str, asked: Asked) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as raised:
        understood(read(path), asked)
    return raised.value.faults


def scores(results: Results) -> dict[tuple[str, int], float]:
    table = results.replicates
    return dict(zip(zip(table["arm"], table["replicate"], strict=True), table[results.question.metric], strict=True))


def test_obvious_columns_are_guessed_and_said(written: Written) -> None:
    found = understood(read(written(PLAIN)), Asked())
    question = found.question
    assert (question.reference_arm, question.metric, question.is_paired) == ("full", "accuracy", True)
    assert question.comparisons == (("plain", "full"),)
    assert scores(found) == {("full", 1): 0.8, ("full", 2): 0.7, ("plain", 1): 0.6, ("plain", 2): 0.65}
    assert [sentence.split(" (")[0] for sentence in found.said] == [
        "arm: column 'model'",
        "replicate: column 'seed'",
        "score: column 'accuracy'",
        "reference: arm 'full', by its name",
        "paired by column 'seed', since every arm has the same labels there",
    ]


def test_what_is_asked_goes_before_what_could_be_guessed(written: Written) -> None:
    text = "model,name,seed,accuracy,speed\nm,a,1,0.8,5\nm,a,2,0.7,6\nm,b,1,0.6,4\nm,b,2,0.65,4\n"
    asked = Asked(arm="name", score="speed", reference="b", is_minimised=True, is_paired=False, metric="run time")
    found = understood(read(written(text)), asked)
    assert found.question.comparisons == (("a", "b"),) and not found.question.is_paired
    assert found.question.metric == "run time" and not found.question.higher_is_better
    assert scores(found)["a", 2] == 6


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        # As `wandb` exports its table of runs, with configuration columns chosen.
        (
            '"Name","State","config.method","config.seed","summary.test_acc"',
            [
                "dry-sun-1,finished,full,1,0.8",
                "old-fog-2,finished,full,2,0.7",
                "red-sea-3,crashed,plain,1,0.1",
                "new-day-4,finished,plain,1,0.6",
                "far-hill-5,finished,plain,2,0.65",
            ],
        ),
        # As `mlflow.search_runs().to_csv()`.
        (
            "run_id,status,metrics.test_acc,params.method,params.seed",
            [
                "a,FINISHED,0.8,full,1",
                "b,FINISHED,0.7,full,2",
                "c,FAILED,,plain,1",
                "d,FINISHED,0.6,plain,1",
                "e,FINISHED,0.65,plain,2",
            ],
        ),
        # As `study.trials_dataframe().to_csv()` of Optuna.
        (
            "number,value,params_method,params_seed,state",
            [
                "0,0.8,full,1,COMPLETE",
                "1,0.7,full,2,COMPLETE",
                "2,0.1,plain,1,PRUNED",
                "3,0.6,plain,1,COMPLETE",
                "4,0.65,plain,2,COMPLETE",
            ],
        ),
    ],
    ids=["wandb", "mlflow", "optuna"],
)
def test_exports_of_trackers_are_read_and_runs_that_did_not_end_give_no_score(
    written: Written, header: str, rows: list[str]
) -> None:
    found = understood(read(written("\n".join([header, *rows]))), Asked())
    assert list(scores(found).values()) == [0.8, 0.7, 0.6, 0.65] and found.question.is_paired


def test_a_run_that_did_not_end_stays_a_replicate_without_a_score(written: Written) -> None:
    text = (
        PLAIN.replace("accuracy\n", "accuracy,status\n").replace("0.8\n", "0.8,done\n").replace("0.7\n", "0.7,done\n")
    )
    text = text.replace("0.6\n", "0.6,done\n").replace("0.65\n", "0.65,killed\n")
    found = understood(read(written(text)), Asked())
    assert pd.isna(scores(found)["plain", 2]) and found.question.is_paired


def test_seeds_within_a_replicate_are_averaged(written: Written) -> None:
    rows = [f"{arm},{r},{s},{0.5 + 0.1 * r + 0.02 * s}" for arm in "ab" for r in (0, 1) for s in (1, 2)]
    found = understood(read(written("\n".join(["arm,replicate,seed,acc", *rows]))), Asked(reference="a"))
    assert scores(found)["b", 1] == pytest.approx(0.63)
    assert found.replicates["seeds"].tolist() == [2] * 4


FOLDS = [
    f"{arm},{fold},{init},{base + 0.02 * fold + 0.01 * init:.2f}"
    for arm, base in (("full", 0.7), ("plain", 0.6))
    for fold in range(3)
    for init in range(4)
]


def test_a_named_column_of_seeds_leaves_the_folds_to_be_found(written: Written) -> None:
    text = "\n".join(["method,fold,init,accuracy", *FOLDS])
    found = understood(read(written(text)), Asked(seed="init"))
    assert found.question.is_paired
    # Of four seeds whose scores are 0.00, 0.01, 0.02, 0.03 above their fold's.
    expected = {("full", 0): 0.715, ("full", 1): 0.735, ("full", 2): 0.755}
    expected |= {("plain", 0): 0.615, ("plain", 1): 0.635, ("plain", 2): 0.655}
    assert scores(found) == pytest.approx(expected)


def test_a_column_of_seeds_without_one_of_replicates_is_refused(written: Written) -> None:
    text = "\n".join(["method,part,init,accuracy", *FOLDS])
    (fault,) = faults(written(text), Asked(seed="init"))
    assert "--seed-column is 'init'" in fault and "--replicate-column" in fault


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_an_index_that_pandas_wrote_is_no_arm(written: Written, index: str) -> None:
    found = understood(read(written(f"{index},full,plain\n0,0.8,0.6\n1,0.7,0.65\n")), Asked())
    assert found.question.comparisons == (("plain", "full"),)
    assert any("without a name" in sentence for sentence in found.said)


def test_an_index_of_a_parquet_file_is_no_arm(tmp_path: Path) -> None:
    table = pd.DataFrame({"full": [0.8, 0.7], "plain": [0.6, 0.65]}, index=[3, 5])
    table.to_parquet(tmp_path / "wide.parquet")
    assert understood(read(str(tmp_path / "wide.parquet")), Asked()).question.comparisons == (("plain", "full"),)


def test_an_end_that_nobody_knows_is_named_and_not_taken_for_a_result(written: Written) -> None:
    text = "model,seed,state,accuracy\nfull,1,finished,0.8\nfull,2,crashed,0.1\nplain,1,evicted,0.2\nplain,2,done,0.6\n"
    (fault,) = faults(written(text), Asked())
    assert "'evicted'" in fault and "'state'" in fault and "finished" in fault


def test_a_state_that_is_a_place_is_no_end_of_a_run(written: Written) -> None:
    text = "model,seed,state,accuracy\nfull,1,Ohio,0.8\nfull,2,Utah,0.7\nplain,1,Ohio,0.6\nplain,2,Utah,0.65\n"
    assert len(scores(understood(read(written(text)), Asked()))) == 4


def test_one_column_for_each_arm_is_a_table_too(written: Written) -> None:
    found = understood(read(written("fold;full;plain\n1;87,4;80\n2;86;81,5\n")), Asked(metric="accuracy"))
    assert scores(found) == {("full", 1): 87.4, ("full", 2): 86, ("plain", 1): 80, ("plain", 2): 81.5}
    assert found.question.is_paired and found.question.primary.unit == "percent"


def test_factors_name_arms_if_no_column_does(written: Written) -> None:
    text = "loss.margin,attention,seed,acc\n0.2,True,1,0.8\n0.2,True,2,0.7\n0.2,False,1,0.6\n0.2,False,2,0.65\n"
    asked = Asked(factors=("loss.margin", "attention"), reference="margin=0.2,attention=True")
    question = understood(read(written(text)), asked).question
    assert question.reference_levels == {"loss.margin": 0.2, "attention": True}
    assert [arm.levels["attention"] for arm in question.arms] == [True, False]


def test_arms_with_labels_of_their_own_are_not_paired(written: Written) -> None:
    found = understood(read(written(PLAIN.replace("plain,2", "plain,3"))), Asked())
    assert not found.question.is_paired and "different labels in column 'seed'" in found.said[-1]
    without = understood(read(written("arm,acc\nfull,1\nfull,2\nplain,3\nplain,4\nplain,5\n")), Asked())
    assert not without.question.is_paired and len(scores(without)) == 5


def test_labels_that_are_no_numbers_are_numbered_and_that_is_said(written: Written) -> None:
    found = understood(read(written("arm,fold,acc\nfull,x,1\nfull,y,2\nplain,x,3\nplain,y,4\n")), Asked())
    assert scores(found)["plain", 1] == 4 and "x is 0" in found.said[-1]


def test_parquet_is_read_as_csv_is(tmp_path: Path, written: Written) -> None:
    frame = pd.read_csv(written(PLAIN))
    frame.to_parquet(tmp_path / "results.parquet")
    other = understood(read(str(tmp_path / "results.parquet")), Asked())
    assert scores(other) == scores(understood(read(written(PLAIN)), Asked()))


def test_comments_at_the_head_are_about_the_table_and_count_as_rows(written: Written) -> None:
    path = written("# simulated,\n# with a seed\n" + PLAIN.replace("0.65", "much"))
    assert read(path).about == "simulated, with a seed"
    assert faults(path, Asked()) == (
        "column 'accuracy' holds 'much' in row 7; a score must be a finite number, or empty if the run has none",
    )


def test_missing_columns_are_named_with_those_that_exist(written: Written) -> None:
    found = faults(written(PLAIN), Asked(arm="modell", score="acuracy", factors=("depth",)))
    assert found[0] == (
        "--arm-column is 'modell', but the table has no such column; did you mean 'model'? known: accuracy, model, seed"
    )
    assert len(found) == 3 and "--score-column is 'acuracy'" in found[1] and "--factor-columns is 'depth'" in found[2]


def test_a_table_whose_columns_are_not_clear_says_which_could_be_named(written: Written) -> None:
    found = faults(written("who,what,much\na,1,2\nb,3,4\n"), Asked())
    assert (
        "no column names the arms; name it with --arm-column" in found[0] and "columns are who, what, much" in found[0]
    )
    assert "--score-column; those with numbers are what, much" in found[1]


def test_all_that_is_wrong_with_the_cells_is_said_at_once(written: Written) -> None:
    text = PLAIN.replace("full,2,0.7", "full,2,inf") + "plain,2,0.6\n,3,0.5\nother,1,n/a\n"
    found = faults(written(text), Asked(reference="ful", baseline="basic"))
    assert [fault.split(";")[0] for fault in found] == [
        "column 'accuracy' holds 'inf' in row 3",
        "column 'model' is empty in row 7",
        "1 replicate with more than one row (plain, 2: rows 5, 6)",
        "--reference is 'ful', but the table has no such arm",
        "--baseline is 'basic', but the table has no such arm",
    ]
    assert "did you mean 'full'? known: , full, other, plain" in found[3]


def test_one_replicate_only_is_too_few(written: Written) -> None:
    (fault,) = faults(written("arm,seed,acc\nfull,1,0.8\nplain,1,0.7\n"), Asked())
    assert fault.startswith("no arm has scores of more than one replicate, and a test needs two")
    (fault,) = faults(written("arm,seed,acc\nfull,1,0.8\nplain,1,0.7\nplain,2,0.7\n"), Asked())
    assert fault.startswith("the reference 'full' has 1 replicate with a score")


def test_arms_that_are_no_single_combination_of_levels_are_refused(written: Written) -> None:
    text = "arm,depth,seed,acc\nfull,2,1,0.8\nfull,3,2,0.7\nplain,2,1,0.6\nplain,2,2,0.65\n"
    found = faults(written(text), Asked(factors=("depth",)))
    assert "arm 'full' has several levels of depth: 2, 3" in found[0] and "full, plain have the same level" in found[1]


def test_pairs_that_cannot_be_are_refused(written: Written) -> None:
    (fault,) = faults(written("arm,acc\nfull,1\nfull,2\nplain,3\nplain,4\n"), Asked(is_paired=True))
    assert fault.startswith("--paired needs a column")
    apart = PLAIN.replace("plain,1", "plain,3").replace("plain,2", "plain,4")
    (fault,) = faults(written(apart), Asked(is_paired=True))
    assert "no two arms have a label of column 'seed' in common" in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("arm,acc\nx,1,2\n", "row 2: cells must be 2 as in the header"),
        ("arm,acc\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused(written: Written, text: str, fault: str) -> None:
    assert fault in faults(written(text), Asked())[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "none.csv cannot be read (No such file" in faults(str(tmp_path / "none.csv"), Asked())[0]


def test_a_smallest_effect_is_in_the_scores_own_unit_and_said_in_it(written: Written) -> None:
    shares = understood(read(written(PLAIN)), Asked(equivalence=0.02))
    assert shares.question.smallest_effect == 0.02
    assert shares.said[-1] == "practically equal, as asked: within ±2.0 percentage points of accuracy"
    percent = "model,seed,accuracy\nfull,1,80\nfull,2,70\nplain,1,60\nplain,2,65\n"
    assert "±0.50 percentage points" in understood(read(written(percent)), Asked(equivalence=0.5)).said[-1]
    (fault,) = faults(written(PLAIN), Asked(equivalence=0.5))
    assert fault.startswith("--equivalence is 0.5, but must be at most 0.25 for accuracy, which is a share")
    wrong = faults(written(PLAIN), Asked(equivalence=-1, reference="none"))
    assert len(wrong) == 2 and "--equivalence is -1, but must be a number > 0" in wrong[1]
