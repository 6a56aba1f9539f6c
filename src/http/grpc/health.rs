//! gRPC's own health service, of the server and of each model: what Kubernetes' probes and load balancers ask.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer, SERVICE_NAME};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use utoipa_axum::router::OpenApiRouter;

use super::call::{Call, answered_by};
use super::inference::grpc_inference_service_server::SERVICE_NAME as INFERENCE;
use crate::http::oip::metadata::{model_ready, server_ready};
use crate::http::server::Gateway;
use crate::limits::HEALTH_WATCH_MS;

/// Both methods.
pub(super) fn routes() -> OpenApiRouter<Gateway> {
    let service = |call: &Call| HealthServer::new(Statuses { gateway: call.gateway.clone() });
    ["Check", "Watch"].iter().fold(OpenApiRouter::new(), |routes, method| {
        routes.route(&format!("/{SERVICE_NAME}/{method}"), answered_by(service))
    })
}

#[derive(Clone, Debug)]
struct Statuses {
    gateway: Gateway,
}

impl Statuses {
    /// The status of the server (by no name, or by that of one of its services) or of a model by its name.
    fn of(&self, service: &str) -> ServingStatus {
        let serves = match service {
            "" | INFERENCE | SERVICE_NAME => server_ready(&self.gateway).unwrap_or(false),
            model => match model_ready(&self.gateway, model, "") {
                Ok(ready) => ready && !self.draining(),
                Err(_) => return ServingStatus::ServiceUnknown,
            },
        };
        if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    fn draining(&self) -> bool {
        self.gateway.draining.load(Ordering::Acquire)
    }

    /// Waits until the status is not the one before.
    async fn after(&self, service: &str, before: ServingStatus) -> ServingStatus {
        let mut looks = tokio::time::interval(Duration::from_millis(HEALTH_WATCH_MS));
        loop {
            looks.tick().await;
            let now = self.of(service);
            if now != before {
                return now;
            }
        }
    }
}

#[tonic::async_trait]
impl Health for Statuses {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.of(&request.get_ref().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found(
                "unknown service: expected none, the inference service's name, or a model's",
            )),
            status => Ok(Response::new(answer(status))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// The status, and again whenever it is another. When the server drains that is said, and the stream ends.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (statuses, service) = (self.clone(), request.into_inner().service);
        let told = stream::unfold(Told::Nothing, move |told| {
            let (statuses, service) = (statuses.clone(), service.clone());
            async move {
                let status = match told {
                    Told::Nothing => statuses.of(&service),
                    Told::Status(before) => statuses.after(&service, before).await,
                    Told::End => return None,
                };
                let next = if statuses.draining() { Told::End } else { Told::Status(status) };
                Some((Ok(answer(status)), next))
            }
        });
        Ok(Response::new(told.boxed()))
    }
}

/// What a watcher was told last.
enum Told {
    Nothing,
    Status(ServingStatus),
    End,
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
