//! Bytes in the API's document.

use utoipa::ToSchema;

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it documents a body that is taken as bytes")]
pub(super) struct Binary(Vec<u8>);
