"""The way of a metric from a pod's /metrics to an autoscaler: Prometheus, its adapter, and how many pods come of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .ask import Question, ask
from .manifests import Manifest
from .pod import Pod
from .refusal import Refusal, require

SERIES = re.compile(r'(\w+)\{namespace!="",pod!=""\}')
QUERY = re.compile(r"sum\(avg_over_time\(<<\.Series>>\{<<\.LabelMatchers>>\}\[\d+[sm]\]\)\) by \(<<\.GroupBy>>\)")


@dataclass
class Rule:
    """What the adapter makes of which series: the sum of a pod's, as a metric of pods."""

    series: str
    metric: str


def rule(values: Manifest) -> Rule:
    """The one rule of an adapter's values, if it is one that gives a pods' metric."""
    [custom] = values["rules"]["custom"]
    series = SERIES.fullmatch(custom["seriesQuery"])
    if series is None:
        raise Refusal(f"seriesQuery: {custom['seriesQuery']}")
    require(QUERY.fullmatch(custom["metricsQuery"]), f"metricsQuery: {custom['metricsQuery']}")
    overrides = {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}
    require(custom["resources"] == {"overrides": overrides}, f"resources: {custom['resources']}")
    require(re.search(custom["name"]["matches"], series[1]), f"name: {custom['name']} does not match {series[1]}")
    return Rule(series[1], custom["name"]["as"])


def scrape(pod: Pod, template: Manifest, series: str) -> float:
    """The sum of a pod's series, from where its annotations say that metrics are."""
    notes = template["metadata"]["annotations"]
    require(notes["prometheus.io/scrape"] == "true", "the pod is not to be scraped")
    answer = ask(pod.container, int(notes["prometheus.io/port"]), Question(notes["prometheus.io/path"]), 5.0)
    found = re.findall(rf"^{series}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", answer.text(), re.MULTILINE)
    require(found, f"/metrics has no {series}")
    return sum(map(float, found))


def replicas(autoscaler: Manifest, metric: str, averages: list[float]) -> int:
    """How many pods the autoscaler asks for by this metric, given its value of each pod."""
    spec = autoscaler["spec"]
    least, most = int(spec["minReplicas"]), int(spec["maxReplicas"])
    [pods] = [item["pods"] for item in spec["metrics"] if item["type"] == "Pods"]
    require(pods["metric"]["name"] == metric, f"the autoscaler wants {pods['metric']['name']}, there is {metric}")
    target = float(pods["target"]["averageValue"])
    wanted = math.ceil(sum(averages) / target)
    return max(least, min(most, wanted))
