"""gRPC's own Python packages: the health protocol and reflection."""

from __future__ import annotations

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from ..cells import Client, holds, refused, same
from ..world import TEXT_MODEL, World

CLIENT = Client("grpc-tools", "grpcio health and reflection", "grpcio")
SERVICE = "inference.GRPCInferenceService"
SERVING = health_pb2.HealthCheckResponse.SERVING


@CLIENT.contract("grpc.health.v1: Check and Watch")
def health(world: World) -> None:
    server = world.server()
    for address in (server.grpc, server.host):
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for service in ("", SERVICE, TEXT_MODEL):
                request = health_pb2.HealthCheckRequest(service=service)
                same(f"Check({service!r})", SERVING, stub.Check(request, timeout=10).status)
                watch = stub.Watch(request, timeout=10)
                same(f"Watch({service!r})", SERVING, next(iter(watch)).status)
                watch.cancel()
            with refused("Check(sentimnt)", grpc.RpcError, "NOT_FOUND"):
                stub.Check(health_pb2.HealthCheckRequest(service="sentimnt"), timeout=10)


@CLIENT.contract("gRPC reflection")
def reflection(world: World) -> None:
    with grpc.insecure_channel(world.server().grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        wanted = {SERVICE, "grpc.health.v1.Health"}
        holds("list services", f"at least {wanted}", sorted(services), truth=wanted <= services)
        service = DescriptorPool(database).FindServiceByName(SERVICE)
        methods = {method.name for method in service.methods}
        wanted = {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
                  "ModelStreamInfer", "ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad",
                  "RepositoryModelUnload", "TraceSetting", "LogSettings"}
        holds("the service's methods", f"at least {sorted(wanted)}", sorted(methods), truth=wanted <= methods)


@CLIENT.contract("gRPC: what there is not")
def unimplemented(world: World) -> None:
    with grpc.insecure_channel(world.server().grpc) as channel:
        for path in ("/inference.GRPCInferenceService/Nothing", "/nothing.Service/Method"):
            call = channel.unary_unary(path)
            with refused(path, grpc.RpcError, "UNIMPLEMENTED"):
                call(b"", timeout=10)
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with refused("a message that is none", grpc.RpcError, "StatusCode."):
            infer(b"\xff\xff\xff", timeout=10)


CLIENTS = [CLIENT]
