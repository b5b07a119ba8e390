"""What of a task's test texts a base may have read."""

from minipeft.files import read_json
from minipeft.paths import DATA
from minipeft.pretraining.collisions import OUT, collisions, sources, streams
from minipeft.tasks.registry import task_names


def test_a_source_is_found_as_whole_sentences_and_its_answer_where_it_follows():
    wanted = {"Ida saw it. It was dull.": {("moods", "bad")}, "Tom left.": {("moods", "good"), ("exits", "left")}}
    texts = [
        "It rained. Ida saw it. It was dull. Verdict: bad.",
        "Tom left. He was fine. So good!",
        "When Tom left. It was.",
    ]
    found = collisions(texts, wanted)
    assert found["moods"] == ({"Ida saw it. It was dull.", "Tom left."}, {"Ida saw it. It was dull.", "Tom left."})
    assert found["exits"] == ({"Tom left."}, set()), "the answer stands in the source alone"
    assert collisions(["Ida saw it. It was dull! Bad."], wanted) == {}


def test_every_stream_that_a_bundled_base_reads_is_looked_at():
    read = streams()
    assert {10, 20} <= set(read) and min(read.values()) > 250_000
    assert all(answers for answers in sources(1).values())


def test_the_page_of_the_data_says_how_many_texts_were_read():
    page, report = " ".join((DATA / "README.md").read_text(encoding="utf-8").split()), read_json(OUT)
    tasks = report["tasks"]
    assert set(tasks) == set(task_names()) and report["streams"] == {str(seed): n for seed, n in streams().items()}
    read = {name: (count["read"], count["answered"]) for name, count in tasks.items() if count["read"]}
    assert set(read) == {"topic", "category"} and "of the other tasks none" in page
    assert "{} stand in what a bundled base has read, {} of them with the answer".format(*read["topic"]) in page
    assert "of `category` {} and {}".format(*read["category"]) in page
