//! Requests and answers as streams: requests are computed side by side, answers come in the order of their requests.

use std::time::Instant;

use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _, stream};
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::inference::infer_parameter::ParameterChoice;
use super::inference::{InferParameter, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use super::{call, infer, status};
use crate::http::oip::errors::message;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::limits::STREAM_REQUESTS_MAX;

/// A client that sends this header as `true` has a stream end with the status of the first request that fails.
const ERRORS_END: &str = "triton_grpc_error";

/// What an answer says of itself where the request asks for it: that the request has no other.
const FINAL_RESPONSE: &str = "triton_final_response";

/// How the requests of one stream are answered.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    gateway: Gateway,
    /// When the caller said that the whole stream ends.
    until: Option<Instant>,
    errors_end: bool,
}

impl Manner {
    /// As the stream's header says; `until` when it has a time.
    pub(super) fn of(header: &MetadataMap, gateway: Gateway, until: Option<Instant>) -> Self {
        let errors_end = header.get(ERRORS_END).is_some_and(|value| value == "true");
        Self { gateway, until, errors_end }
    }

    /// When a request that has just come is given up.
    fn deadline(&self) -> Instant {
        let own = Instant::now() + self.gateway.config.deadline_default;
        self.until.map_or(own, |until| until.min(own))
    }

    /// One request's answer. What is wrong with it is an answer, unless errors end the stream.
    async fn answer(&self, request: ModelInferRequest) -> Result<ModelStreamInferResponse, Status> {
        let (id, model, version) =
            (request.id.clone(), request.model_name.clone(), request.model_version.clone());
        let says_final = asks_for_final(&request);
        let deadline = self.deadline();
        let answered = infer::answer(&self.gateway, request, deadline);
        let answered = tokio::time::timeout_at(deadline.into(), answered).await;
        match answered
            .unwrap_or_else(|_| Err(Problem::new(Code::DeadlineExceeded, "there was no answer in time")))
        {
            Ok(mut response) => {
                if says_final {
                    let yes = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
                    response.parameters.insert(FINAL_RESPONSE.to_owned(), yes);
                }
                Ok(ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) })
            }
            Err(problem) if self.errors_end => Err(status::of(&problem)),
            Err(problem) => Ok(ModelStreamInferResponse {
                error_message: message(&problem),
                // Which request it was.
                infer_response: Some(ModelInferResponse {
                    id,
                    model_name: model,
                    model_version: version,
                    ..ModelInferResponse::default()
                }),
            }),
        }
    }
}

fn asks_for_final(request: &ModelInferRequest) -> bool {
    let parameter = request.parameters.get(infer::FINAL_RESPONSE_WANTED);
    parameter.is_some_and(|value| value.parameter_choice == Some(ParameterChoice::BoolParam(true)))
}

/// The answers to a stream of requests.
pub(super) fn answers(
    requests: Streaming<ModelInferRequest>,
    manner: Manner,
) -> impl Stream<Item = Result<ModelStreamInferResponse, Status>> + Send + 'static {
    let gateway = manner.gateway.clone();
    received(requests, gateway)
        .map(move |request| {
            let manner = manner.clone();
            async move { manner.answer(request?).await }
        })
        .buffered(STREAM_REQUESTS_MAX)
}

/// The requests until the client has no more, or the server drains: what came before is still answered.
fn received(
    requests: Streaming<ModelInferRequest>,
    gateway: Gateway,
) -> impl Stream<Item = Result<ModelInferRequest, Status>> + Send + 'static {
    stream::unfold(Some(requests), move |requests| {
        let gateway = gateway.clone();
        async move {
            let mut requests = requests?;
            let next = {
                let draining = std::pin::pin!(call::draining(&gateway));
                let next = std::pin::pin!(requests.message());
                match select(next, draining).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => {
                        let problem = Problem::new(Code::ShuttingDown, "the server is shutting down");
                        Err(status::of(&problem))
                    }
                }
            };
            match next {
                Ok(Some(request)) => Some((Ok(request), Some(requests))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }
    })
}
