"""Metrics: counted cheaply, bounded in number, and told so that Prometheus' own parser reads them."""

import os
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.exposition import exposition
from service.metrics.process import METHODS, NAMED_MOST, Metrics
from service.metrics.series import Counter, Timer
from service.metrics.vitals import vitals
from service.records.figures import Family
from service.records.runs import Usage


def read(*families: Family, **common: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus' parser makes of them: by name and labels."""
    text = exposition([(common, families)])
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_was_counted_is_told_by_its_labels() -> None:
    edits = Counter("edits_total", "Edits", "operation", "outcome")
    edits.add("append", "applied")
    edits.add("append", "applied", by=2)
    edits.add("set", "conflict")
    assert read(edits.family(), process="web") == {
        ("edits_total", (("operation", "append"), ("outcome", "applied"), ("process", "web"))): 3,
        ("edits_total", (("operation", "set"), ("outcome", "conflict"), ("process", "web"))): 1,
    }


def test_one_without_labels_is_told_before_anything_was_counted() -> None:
    assert read(Counter("lost_total", "Lost").family()) == {("lost_total", ()): 0}


def test_a_timer_is_a_histogram_whose_buckets_add_up() -> None:
    timer = Timer("took_seconds", "Took", "of", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        timer.note(seconds, "x")
    found = read(timer.family())
    buckets = {
        labels[0][1]: value for (name, labels), value in found.items() if name == "took_seconds_bucket"
    }
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}
    assert found["took_seconds_count", (("of", "x"),)] == 4
    assert found["took_seconds_sum", (("of", "x"),)] == pytest.approx(7.65)


def test_labels_may_hold_anything() -> None:
    counter = Counter("calls_total", 'Calls of "models"\\n', "model")
    counter.add('a "b"\nc\\d')
    assert read(counter.family()) == {("calls_total", (("model", 'a "b"\nc\\d'),)): 1}


def test_past_their_bound_labels_that_others_choose_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(5 * NAMED_MOST):
        metrics.model_called("openai", f"model-{number}", 0.1, "ok", Usage(prompt_tokens=1))
        metrics.answered(f"VERB-{number}", None, 404, 0.1, streamed=False)
    seconds = read(metrics.model_seconds.family())
    models = {dict(labels)["model"] for name, labels in seconds if name.endswith("_count")}
    assert len(models) == NAMED_MOST + 1
    assert seconds["blockwire_model_call_seconds_count", (("model", "other"), ("provider", "other"))] == (
        4 * NAMED_MOST
    )
    requests = read(metrics.requests.family())
    assert {dict(labels)["method"] for _, labels in requests} == {"other"}
    assert "other" not in METHODS


def test_a_name_is_told_once_whoever_counted() -> None:
    one, two = Metrics(), Metrics()
    one.messages.add("wakeup")
    two.messages.add("wakeup")
    text = exposition([({"process": "a"}, one.families()), ({"process": "b"}, two.families())])
    assert text.count("# TYPE blockwire_messages_total counter") == 1
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "blockwire_messages"]
    assert [sample.labels["process"] for sample in family.samples] == ["a", "b"]


def test_a_process_tells_what_it_takes_of_its_machine() -> None:
    found = {name: value for (name, _), value in read(*vitals()).items()}
    assert found["process_cpu_seconds_total"] == pytest.approx(time.process_time(), abs=2)
    assert found["process_start_time_seconds"] <= time.time()
    assert time.time() - found["process_start_time_seconds"] < 86_400
    assert 1e7 < found["process_resident_memory_bytes"] < found["process_virtual_memory_bytes"]
    assert 3 <= found["process_open_fds"] <= found["process_max_fds"]
    assert os.getpid() > 0
