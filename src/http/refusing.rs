//! The refusals of a protocol in the API's document: what the layers and handlers answer, in the protocol's own shape.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// The statuses that any protocol may answer with when it refuses, and why.
const STATUSES: [(u16, &str); 16] = [
    (400, "The request or an input in it is wrong"),
    (404, "There is no such path, model or version"),
    (405, "The path takes other methods"),
    (408, "The body did not arrive in time"),
    (409, "The model is loaded already"),
    (413, "The body, a text or a picture is too large"),
    (415, "The content type is not taken, or the bytes are no picture of a known format"),
    (422, "The request or an input in it is wrong"),
    (424, "The model failed on this input"),
    (429, "The queue of the model is full: `Retry-After` says when to come back"),
    (431, "There are too many header lines"),
    (500, "The server failed; its log has more under the request's id"),
    (501, "There is no such function here"),
    (503, "The server or the model is not ready, its queue is full, or it is shutting down"),
    (504, "The deadline passed"),
    (507, "There is no room for the model"),
];

/// Every refusal of a protocol whose errors have the shape `T`.
#[derive(Debug)]
pub(super) struct Refusing<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Refusing<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = |(status, description): (u16, &str)| {
            let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(T::name()))));
            let response =
                ResponseBuilder::new().description(description).content("application/json", content).build();
            (status.to_string(), RefOr::T(response))
        };
        STATUSES.into_iter().map(response).collect()
    }
}
