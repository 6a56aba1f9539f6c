//! The methods of the inference service: each asks the protocol's core, as its REST twin does.

use futures_util::stream::{BoxStream, StreamExt as _};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::inference::model_metadata_response::TensorMetadata;
use super::inference::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
    CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
    LogSettingsRequest, LogSettingsResponse, ModelConfigRequest, ModelConfigResponse, ModelInferRequest,
    ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse, TraceSettingRequest, TraceSettingResponse,
};
use super::stream::{Manner, answers};
use super::{config, contents, infer, repository, settings, statistics, status};
use crate::http::deadline::Deadline;
use crate::http::oip;
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// The service for one call.
pub(super) fn server(call: &Call) -> GrpcInferenceServiceServer<Service> {
    let service = Service { gateway: call.gateway.clone() };
    let server = GrpcInferenceServiceServer::new(service)
        .max_decoding_message_size(call.message_bytes_max())
        .accept_compressed(CompressionEncoding::Gzip);
    match call.compression {
        Some(encoding) => server.send_compressed(encoding),
        None => server,
    }
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    gateway: Gateway,
}

type Answer<T> = Result<Response<T>, Status>;

/// What the core says, as an answer.
fn answer<C, T>(said: Result<C, Problem>, message: impl FnOnce(C) -> T) -> Answer<T> {
    said.map(|core| Response::new(message(core))).map_err(|problem| status::of(&problem))
}

fn no_shared_memory<T>() -> Answer<T> {
    Err(status::of(&contents::shared_memory()))
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        // A server that drains is not ready: whoever asks wants to know that, not that asking failed.
        let ready = oip::metadata::server_ready(&self.gateway).unwrap_or(false);
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = oip::metadata::model_ready(&self.gateway, &name, &version);
        answer(ready, |ready| ModelReadyResponse { ready })
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        let metadata = oip::metadata::server(&self.gateway);
        Ok(Response::new(ServerMetadataResponse {
            name: metadata.name.to_owned(),
            version: metadata.version.to_owned(),
            extensions: metadata.extensions.into_iter().map(str::to_owned).collect(),
        }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let tensor = |tensor: oip::metadata::TensorMetadata| TensorMetadata {
            name: tensor.name.to_owned(),
            datatype: tensor.datatype.to_owned(),
            shape: tensor.shape,
        };
        answer(oip::metadata::model(&self.gateway, &name, &version), |model| ModelMetadataResponse {
            name: model.name,
            versions: model.versions,
            platform: model.platform.to_owned(),
            inputs: model.inputs.into_iter().map(tensor).collect(),
            outputs: model.outputs.into_iter().map(tensor).collect(),
        })
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let deadline = deadline(&self.gateway, &request);
        let answered = infer::answer(&self.gateway, request.into_inner(), deadline).await;
        answer(answered, |message| message)
    }

    type ModelStreamInferStream = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<tonic::Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let until =
            request.metadata().contains_key("grpc-timeout").then(|| deadline(&self.gateway, &request));
        let manner = Manner::of(request.metadata(), self.gateway.clone(), until);
        Ok(Response::new(answers(request.into_inner(), manner).boxed()))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let said = oip::metadata::config(&self.gateway, &name, &version);
        answer(said, |said| ModelConfigResponse { config: Some(config::message(&said)) })
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        answer(oip::statistics::of(&self.gateway, &name, &version), |found| ModelStatisticsResponse {
            model_stats: found.into_iter().map(statistics::message).collect(),
        })
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Answer<RepositoryIndexResponse> {
        answer(repository::index(&self.gateway, request.get_ref()), |index| index)
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        answer(repository::load(&self.gateway, request.into_inner()).await, |()| {
            RepositoryModelLoadResponse {}
        })
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        answer(repository::unload(&self.gateway, request.into_inner()).await, |()| {
            RepositoryModelUnloadResponse {}
        })
    }

    async fn system_shared_memory_status(
        &self,
        _: Request<SystemSharedMemoryStatusRequest>,
    ) -> Answer<SystemSharedMemoryStatusResponse> {
        no_shared_memory()
    }

    async fn system_shared_memory_register(
        &self,
        _: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Answer<SystemSharedMemoryRegisterResponse> {
        no_shared_memory()
    }

    async fn system_shared_memory_unregister(
        &self,
        _: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<SystemSharedMemoryUnregisterResponse> {
        no_shared_memory()
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Answer<CudaSharedMemoryStatusResponse> {
        no_shared_memory()
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Answer<CudaSharedMemoryRegisterResponse> {
        no_shared_memory()
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<CudaSharedMemoryUnregisterResponse> {
        no_shared_memory()
    }

    async fn trace_setting(&self, request: Request<TraceSettingRequest>) -> Answer<TraceSettingResponse> {
        answer(settings::trace(&self.gateway, request.into_inner()), |said| said)
    }

    async fn log_settings(&self, request: Request<LogSettingsRequest>) -> Answer<LogSettingsResponse> {
        answer(settings::log(&self.gateway, request.into_inner()), |said| said)
    }
}

/// When the call ends: its route has noted it.
fn deadline<T>(gateway: &Gateway, request: &Request<T>) -> std::time::Instant {
    let noted = request.extensions().get::<Deadline>();
    noted.map_or_else(|| std::time::Instant::now() + gateway.config.deadline_default, |noted| noted.0)
}
