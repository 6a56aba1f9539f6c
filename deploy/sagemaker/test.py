"""Follows the READMEs of SageMaker, with `aws` and `docker` played, and holds containers to the whole contract."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from stage.options import Grammar, Parsed, parse
from stage.programs import Call, Player
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.sagemaker import MULTI_MODEL_LABEL, PORT_LABEL, Instance, Model, Transform
from stage.shorthand import check_members, structure
from stage.stage import Stage
from stage.storage import Storage
from stage.training import Request, TrainingJob, selected

ACCOUNT = "arn:aws:sagemaker:eu-west-1:111122223333"
REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"


def play(stage: Stage) -> None:
    """Follows each README with an account of its own."""
    for label in (MULTI_MODEL_LABEL, PORT_LABEL):
        require(stage.engine.image.labels.get(label) == "true", f"the image has no label {label}=true")
    hosting = Account(stage)
    stage.follow("deploy/sagemaker/README.md", hosting.programs())
    require(not hosting.endpoints, "the README leaves an endpoint behind")
    another_port(stage, hosting)
    many = Account(stage)
    stage.follow("deploy/sagemaker/multi-model.md", many.programs())
    models_come_and_go(many.endpoints["sconce"], many.storage)
    transforming = Account(stage)
    stage.follow("deploy/sagemaker/batch-transform.md", transforming.programs())
    training = Account(stage)
    stage.follow("deploy/sagemaker/training.md", training.programs())
    trained(training)


def trained(account: Account) -> None:
    """What a README does not show of the training contract: the model answers, and jobs are stopped, lost and wrong."""
    job = account.training["messages-1"]
    require(job.found.get("model:accuracy", 0.0) > 0.9, f"the metrics that were found: {job.found}")
    answered(account, account.models["messages"].data)

    wrong = replace(job.request, name="wrong", checkpoints="", hyperparameters={"task": "text", "epoch": "3"})
    failing = TrainingJob(account.stage.engine, account.storage, wrong)
    failing.wait()
    reason = "AlgorithmError: hyperparameter epoch: no key of a recipe for text-classification; is epochs meant?"
    require(failing.failure.startswith(reason), f"FailureReason: {failing.failure}")

    # An epoch each few steps, for as long as it may.
    long = job.request.hyperparameters | {"epochs": "2000", "patience": "2000"}
    request = replace(job.request, name="long", hyperparameters=long, checkpoints="s3://sconce-models/long")
    for end in (TrainingJob.take_away, TrainingJob.stop):
        running = TrainingJob(account.stage.engine, account.storage, request)
        running.await_checkpoint()
        end(running)
    answered(account, running.model)


def answered(account: Account, data: str) -> None:
    """Hosting serves what training left, as it is."""
    instance = Instance(account.stage.engine, account.storage, Model(data, {}, False))
    answer = instance.invoke({"Content-Type": "text/plain"}, b"where is my parcel, it is late")
    require(answer.json()[0]["label"] == "delivery", f"the model answers {answer.status} {answer.text()}")
    instance.end()


def another_port(stage: Stage, account: Account) -> None:
    """An image whose label says so listens where it is told."""
    told = {"SAGEMAKER_BIND_TO_PORT": "14321", "SAGEMAKER_SAFE_PORT_RANGE": "14322-14399"}
    instance = Instance(stage.engine, account.storage, account.models["sign-digits"], told)
    instance.ping()
    instance.end()


def models_come_and_go(instance: Instance, storage: Storage) -> None:
    """The multi-model contract, past what a README shows."""
    first, second = instance.loaded()
    require(instance.load(first).status == 409, "loading what is loaded already is 409")
    listed = instance.ask_models("GET", "").json()
    names = sorted(model["modelName"] for model in listed["models"])
    require(names == [first, second], f"GET /models lists {names}, loaded are {[first, second]}")
    require(instance.ask_models("GET", f"/{first}").json()["modelName"] == first, "GET /models/NAME names it")
    require(instance.ask_models("DELETE", f"/{first}").status == 200, "unloading is 200")
    for method, rest in (("GET", f"/{first}"), ("DELETE", f"/{first}"), ("POST", f"/{first}/invoke")):
        body = b'{"inputs": "hello"}' if method == "POST" else None
        status = instance.ask_models(method, rest, body).status
        require(status == 404, f"{method} /models{rest} answered {status} after unloading, expected 404")
    answer = instance.ask_models("POST", f"/{second}/invoke", b'{"inputs": "hello"}')
    require(answer.status == 200, f"the other model answered {answer.status} after an unloading")
    require(instance.load(first).status == 200, "what was unloaded can be loaded again")
    require(instance.load("nowhere").status >= 400, "a model whose folder is missing cannot be loaded")
    instance.ping()
    instance.end()


@dataclass
class Account:
    """An account with what `aws` makes in it."""

    stage: Stage
    storage: Storage = field(default_factory=Storage)
    registry: ImageRegistry = field(default_factory=lambda: ImageRegistry(REGISTRY))
    models: dict[str, Model] = field(default_factory=dict)
    configurations: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, Instance] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    training: dict[str, TrainingJob] = field(default_factory=dict)

    def programs(self) -> dict[str, Player]:
        """The programs that READMEs call."""
        return {"aws": self.aws, "docker": self.registry.docker}

    def aws(self, call: Call) -> str:
        """The part of Amazon's program that READMEs use."""
        match call.words:
            case ["s3", "cp", *words]:
                return self.storage.copy(call, words)
            case ["sagemaker-runtime", "invoke-endpoint", *words]:
                return self._invoke(call, words)
            case ["sagemaker", "wait", what, *words]:
                return self._wait(what, words)
            case ["sagemaker", operation, *words] if operation in GRAMMARS:
                answer = getattr(self, operation.replace("-", "_"))(parse(words, GRAMMARS[operation]))
                return json.dumps(answer, indent=4) + "\n" if answer else ""
        raise Refusal(f"argument operation: Invalid choice: aws {' '.join(call.words)}")

    def create_model(self, given: Parsed) -> dict[str, str]:
        """A model is an image with an archive, or with a folder of archives."""
        container = structure(given["--primary-container"])
        check_members(container, {"Image", "ModelDataUrl"}, {"Environment", "Mode"})
        self.registry.pull(str(container["Image"]))
        mode, data = container.get("Mode", "SingleModel"), str(container["ModelDataUrl"])
        require(mode in ("SingleModel", "MultiModel"), f"Mode: {mode}")
        many = mode == "MultiModel"
        require(data.endswith("/") if many else data in self.storage.objects, f"Could not find model data at {data}")
        require(given["--execution-role-arn"].startswith("arn:aws:iam::"), "the role is no ARN")
        environment = container.get("Environment", {})
        require(all(isinstance(value, str) for value in environment.values()), "Environment: expected texts")
        name = given["--model-name"]
        self.models[name] = Model(data, dict(environment), many)
        return {"ModelArn": f"{ACCOUNT}:model/{name}"}

    def create_endpoint_config(self, given: Parsed) -> dict[str, str]:
        """What an endpoint is made of."""
        variant = structure(given["--production-variants"])
        check_members(variant, {"VariantName", "ModelName"}, {"InstanceType", "InitialInstanceCount"})
        require(variant["ModelName"] in self.models, f'Could not find model "{variant["ModelName"]}"')
        require(str(variant["InstanceType"]).startswith("ml."), f"InstanceType: {variant['InstanceType']}")
        require(str(variant["InitialInstanceCount"]) == "1", "one instance is played here")
        name = given["--endpoint-config-name"]
        self.configurations[name] = str(variant["ModelName"])
        return {"EndpointConfigArn": f"{ACCOUNT}:endpoint-config/{name}"}

    def create_endpoint(self, given: Parsed) -> dict[str, str]:
        """Starts the container."""
        name, configuration = given["--endpoint-name"], given["--endpoint-config-name"]
        require(configuration in self.configurations, f'Could not find endpoint configuration "{configuration}"')
        require(name not in self.endpoints, f'Cannot create already existing endpoint "{name}"')
        model = self.models[self.configurations[configuration]]
        self.endpoints[name] = Instance(self.stage.engine, self.storage, model)
        return {"EndpointArn": f"{ACCOUNT}:endpoint/{name}"}

    def delete_endpoint(self, given: Parsed) -> None:
        """Ends it."""
        self._endpoint(given).end()
        del self.endpoints[given["--endpoint-name"]]

    def create_transform_job(self, given: Parsed) -> dict[str, str]:
        """Runs a job to its end."""
        source, target = structure(given["--transform-input"]), structure(given["--transform-output"])
        check_members(source, {"DataSource", "ContentType", "SplitType"}, set())
        check_members(target, {"S3OutputPath", "Accept", "AssembleWith"}, set())
        check_members(structure(given["--transform-resources"]), {"InstanceType", "InstanceCount"}, set())
        require((source["SplitType"], target["AssembleWith"]) == ("Line", "Line"), "lines are played here")
        data = source["DataSource"]["S3DataSource"]
        require(data["S3DataType"] == "S3Prefix", f"S3DataType: {data['S3DataType']}")
        require(given["--model-name"] in self.models, f'Could not find model "{given["--model-name"]}"')
        model = self.models[given["--model-name"]]
        found = self.storage.below(data["S3Uri"])
        require(found, f"No S3 objects found under {data['S3Uri']}")
        for address, body in found.items():
            transform = Transform(body.splitlines(), str(source["ContentType"]), str(target["Accept"]))
            output = f"{target['S3OutputPath'].rstrip('/')}/{address.rsplit('/', 1)[1]}.out"
            self.storage.objects[output] = transform.run(self.stage.engine, self.storage, model)
        name = given["--transform-job-name"]
        self.jobs.add(name)
        return {"TransformJobArn": f"{ACCOUNT}:transform-job/{name}"}

    def create_training_job(self, given: Parsed) -> dict[str, str]:
        """Starts a job; it runs on by itself."""
        algorithm, output = structure(given["--algorithm-specification"]), structure(given["--output-data-config"])
        check_members(algorithm, {"TrainingImage", "TrainingInputMode"}, {"MetricDefinitions"})
        check_members(output, {"S3OutputPath"}, set())
        check_members(structure(given["--stopping-condition"]), {"MaxRuntimeInSeconds"}, set())
        resources = structure(given["--resource-config"])
        check_members(resources, {"InstanceType", "InstanceCount", "VolumeSizeInGB"}, set())
        require(str(resources["InstanceCount"]) == "1", "one instance is played here")
        require(algorithm["TrainingInputMode"] == "File", "files are played here")
        self.registry.pull(str(algorithm["TrainingImage"]))
        channel = structure(given["--input-data-config"])
        check_members(channel, {"ChannelName", "DataSource"}, set())
        source = channel["DataSource"]["S3DataSource"]
        require(source["S3DataType"] == "S3Prefix", f"S3DataType: {source['S3DataType']}")
        require(self.storage.below(source["S3Uri"]), f"No S3 objects found under {source['S3Uri']}")
        name = given["--training-job-name"]
        request = Request(
            name,
            {str(channel["ChannelName"]): str(source["S3Uri"])},
            str(output["S3OutputPath"]),
            {key: str(value) for key, value in structure(given["--hyper-parameters"]).items()},
            {metric["Name"]: metric["Regex"] for metric in algorithm.get("MetricDefinitions", [])},
            str(structure(given["--checkpoint-config"])["S3Uri"]),
        )
        self.training[name] = TrainingJob(self.stage.engine, self.storage, request)
        return {"TrainingJobArn": f"{ACCOUNT}:training-job/{name}"}

    def describe_training_job(self, given: Parsed) -> object:
        """What has become of a job."""
        return selected(self._training(given).describe(), given["--query"])

    def _training(self, given: Parsed) -> TrainingJob:
        name = given["--training-job-name"]
        require(name in self.training, "Requested resource not found.")
        return self.training[name]

    def _wait(self, what: str, words: list[str]) -> str:
        match what:
            case "endpoint-in-service":
                self._endpoint(parse(words, Grammar(required=("--endpoint-name",)))).ping()
            case "transform-job-completed-or-stopped":
                job = parse(words, Grammar(required=("--transform-job-name",)))["--transform-job-name"]
                require(job in self.jobs, f"Waiter failed: no job {job}")
            case "training-job-completed-or-stopped":
                training = self._training(parse(words, Grammar(required=("--training-job-name",))))
                training.wait()
                require(training.status != "Failed", f"Waiter failed: {training.failure}")
            case _:
                raise Refusal(f"argument waiter: Invalid choice: {what}")
        return ""

    def _endpoint(self, given: Parsed) -> Instance:
        name = given["--endpoint-name"]
        require(name in self.endpoints, f"Endpoint {name} of account 111122223333 not found.")
        return self.endpoints[name]

    def _invoke(self, call: Call, words: list[str]) -> str:
        given = parse(words, INVOKE)
        require(given["--body"].startswith("fileb://"), "Invalid base64: a body in a file is fileb://FILE")
        body = call.file(given["--body"].removeprefix("fileb://")).read_bytes()
        headers = {header: given[option] for option, header in HEADERS.items() if option in given.values}
        endpoint = self._endpoint(given)
        targeted = "--target-model" in given.values
        require(endpoint.model.many == targeted, "a target is for many models, and needed there")
        answer = endpoint.invoke(headers, body)
        if answer.status != 200:
            raise Refusal(
                "An error occurred (ModelError) when calling the InvokeEndpoint operation: Received "
                f"{'client' if answer.status < 500 else 'server'} error ({answer.status}) from primary with message "
                f'"{answer.text()}".'
            )
        (call.folder / given.positional[0]).write_bytes(answer.body)
        said = {"ContentType": answer.headers["content-type"], "InvokedProductionVariant": "all"}
        if attributes := answer.headers.get("x-amzn-sagemaker-custom-attributes"):
            said["CustomAttributes"] = attributes
        return json.dumps(said, indent=4) + "\n"


HEADERS = {
    "--content-type": "Content-Type",
    "--accept": "Accept",
    "--custom-attributes": "X-Amzn-SageMaker-Custom-Attributes",
    "--target-model": "X-Amzn-SageMaker-Target-Model",
}
INVOKE = Grammar(required=("--endpoint-name", "--body"), optional=tuple(HEADERS), positional=1)
GRAMMARS = {
    "create-model": Grammar(("--model-name", "--primary-container", "--execution-role-arn")),
    "create-endpoint-config": Grammar(("--endpoint-config-name", "--production-variants")),
    "create-endpoint": Grammar(("--endpoint-name", "--endpoint-config-name")),
    "delete-endpoint": Grammar(("--endpoint-name",)),
    "create-training-job": Grammar(
        (
            "--training-job-name",
            "--role-arn",
            "--algorithm-specification",
            "--hyper-parameters",
            "--input-data-config",
            "--output-data-config",
            "--checkpoint-config",
            "--resource-config",
            "--stopping-condition",
        )
    ),
    "describe-training-job": Grammar(("--training-job-name", "--query")),
    "create-transform-job": Grammar(
        ("--transform-job-name", "--model-name", "--transform-input", "--transform-output", "--transform-resources")
    ),
}
