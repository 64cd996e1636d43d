# Writes few_shot.json: prompts of lm-evaluation-harness with examples, and samples of Python's
# random.Random, for some seeds. The documents are made up.
#
#   pip install lm-eval datasets
#   python few_shot_reference.py > few_shot.json
#   python few_shot_reference.py FOLDER > other.json    documents from FOLDER/TASK.jsonl, TASK.train.jsonl
import hashlib
import json
import os
import random
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
from lm_eval.tasks import TaskManager

# Nothing is cached here, and hashing data sets fails with some versions of dill and pyarrow.
datasets.fingerprint.Hasher.hash = classmethod(lambda *_: os.urandom(8).hex())

TASKS = ["copa", "hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande", "openbookqa", "mmlu_anatomy"]
SEEDS = [1234, 0, 7, 4242, 2**31 - 1, 2**32 + 5, 2**53 - 1, -9]
SHOTS = [1, 2, 3, 5, 10, 22]

WORDS = (
    "river stone lamp paper bird winter metal bread Garden window naïve señor 氷 bees tide music "
    "rope glass wheel moon salt cloud tree horse coat iron drum flame seed boat"
).split()


def words(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def choices(rng, count, labels="ABCDE"):
    return {"text": [words(rng, 2) for _ in range(count)], "label": list(labels[:count])}


def copa(rng, i):
    return {
        "premise": f"{words(rng, 3)} {i}." + ("  " if i % 5 == 0 else ""),
        "choice1": f"The {words(rng, 2)}.",
        "choice2": f"Öl and {words(rng, 2)}.",
        "question": rng.choice(["cause", "effect"]),
        "idx": i,
        "label": i % 2,
    }


def hellaswag(rng, i):
    return {
        "ind": i,
        "activity_label": words(rng, 1),
        "ctx_a": f"[header] How to {words(rng, 2)} [title] {words(rng, 3)}.",
        "ctx_b": rng.choice(["", "he", "[step]  THEN she", "ßtep"]),
        "ctx": "unused",
        "endings": [f"[substeps] {words(rng, 2)}  {j}. [title] x" if j % 2 else words(rng, 2) for j in range(4)],
        "source_id": "s",
        "split": "train",
        "split_type": "indomain",
        "label": str(rng.randrange(4)),
    }


def piqa(rng, i):
    return {"goal": f"To {words(rng, 2)} {i}", "sol1": words(rng, 3), "sol2": words(rng, 3), "label": rng.randrange(2)}


def arc(rng, i):
    count = rng.choice([3, 4, 5])
    labels = rng.choice(["ABCDE", "12345"])
    return {
        "id": f"q{i}",
        "question": f"Which {words(rng, 2)} {i}?",
        "choices": choices(rng, count, labels),
        "answerKey": labels[rng.randrange(count)],
    }


def winogrande(rng, i):
    # Some sentences end with the blank, so that no text is scored.
    end = "" if i % 7 == 3 else f" was {words(rng, 2)}."
    return {
        "sentence": f"The {words(rng, 1)} and the {words(rng, 1)} {i} since _{end}",
        "option1": words(rng, 1),
        "option2": words(rng, 1),
        "answer": rng.choice(["1", "2"]),
    }


def openbookqa(rng, i):
    return {
        "id": f"7-{i}",
        "question_stem": f"{words(rng, 3)} {i}",
        "choices": choices(rng, 4),
        "answerKey": rng.choice(["A", " B", "C", "D"]),
    }


def mmlu_anatomy(rng, i):
    return {
        "question": f" {words(rng, 3)} {i}? ",
        "subject": "anatomy",
        "choices": [words(rng, 2) for _ in range(4)],
        "answer": rng.randrange(4),
    }


MAKERS = {
    "copa": copa,
    "hellaswag": hellaswag,
    "piqa": piqa,
    "arc_easy": arc,
    "arc_challenge": arc,
    "winogrande": winogrande,
    "openbookqa": openbookqa,
    "mmlu_anatomy": mmlu_anatomy,
}


def made_up(task):
    """Documents that are evaluated, and documents that examples come from; some are in both."""
    rng = random.Random(task)
    make = MAKERS[task]
    train = [make(rng, i) for i in range(24)]
    docs = [make(rng, 100 + i) for i in range(3)] + [train[5], train[11]]
    # Rows equal to an evaluated document: the harness draws again without them.
    train += [train[5]] * 3
    return docs, train


def from_folder(folder):
    def read(name):
        return [json.loads(line) for line in (Path(folder) / name).read_text().splitlines()]

    return lambda task: (read(f"{task}.jsonl"), read(f"{task}.train.jsonl"))


def prompts(manager, task, docs, train, seed, shots):
    """For each document its contexts: one, or one a choice where they differ."""
    splits = {name: datasets.Dataset.from_list(train) for name in ("train", "dev")}
    splits |= {name: datasets.Dataset.from_list(docs) for name in ("validation", "test")}
    datasets.load_dataset = lambda **_: datasets.DatasetDict(splits)
    found = manager.load(task)["tasks"][task]
    found.set_config(key="num_fewshot", value=shots)
    found.set_fewshot_seed(seed)
    found.build_all_requests()
    contexts = [[] for _ in docs]
    for instance in found.instances:
        context = instance.args[0]
        if context not in contexts[instance.doc_id]:
            contexts[instance.doc_id].append(context)
    return contexts


def hashed(contexts):
    return [[hashlib.sha256(text.encode()).hexdigest()[:20] for text in own] for own in contexts]


def draws():
    """What Random(seed).sample(range(n), k) draws, four times in a row."""
    cases = []
    for seed in [1234, 0, 1, -1, 42, 2**32 - 1, 2**32, 2**40 + 3, -(2**53 - 1)]:
        for n, k in [(1, 1), (5, 5), (21, 3), (22, 3), (85, 6), (86, 6), (400, 26), (39905, 26), (2**20, 2)]:
            rng = random.Random(seed)
            cases.append({"seed": seed, "n": n, "k": k, "samples": [rng.sample(range(n), k) for _ in range(4)]})
    return cases


def main():
    load = from_folder(sys.argv[1]) if len(sys.argv) > 1 else made_up
    manager = TaskManager()
    tasks = []
    for task in TASKS:
        docs, train = load(task)
        cases = []
        for index, shots in enumerate(SHOTS):
            # Every number of examples with the default seed, and every seed with one number.
            seeds = SEEDS if index == 2 else [SEEDS[0], SEEDS[1 + index]]
            for seed in seeds:
                contexts = prompts(manager, task, docs, train, seed, shots)
                case = {"seed": seed, "shots": shots, "prompts": hashed(contexts)}
                if (seed, shots) == (SEEDS[0], 2):
                    case["texts"] = contexts
                cases.append(case)
        tasks.append({"task": task, "docs": docs, "train": train, "cases": cases})
    json.dump({"draws": draws(), "tasks": tasks}, sys.stdout, ensure_ascii=False)


main()
