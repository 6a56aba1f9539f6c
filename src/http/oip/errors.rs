//! What goes wrong, as this protocol's clients know it: a kind, and a message that says what Triton would.

use crate::http::problem::{Code, Problem};

/// The kinds of error of the protocol: each has a status over HTTP and one over gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Kind {
    /// The request is wrong.
    InvalidArgument,
    /// There is no such model, version or path.
    NotFound,
    /// The server or the model cannot answer now.
    Unavailable,
    /// The server does not do this.
    Unsupported,
    /// The body, a text or a picture is larger than is taken.
    TooLarge,
    /// The server failed.
    Internal,
}

impl Kind {
    /// The kind of a problem.
    pub(in crate::http) fn of(problem: &Problem) -> Self {
        match problem.code {
            Code::NotFound | Code::ModelNotFound | Code::VersionNotFound => Self::NotFound,
            Code::BodyTooLarge => Self::TooLarge,
            Code::NotSupported => Self::Unsupported,
            Code::Internal | Code::NonFiniteOutput => Self::Internal,
            code if code.is_about_the_server() => Self::Unavailable,
            _ => Self::InvalidArgument,
        }
    }
}

/// The message of a problem: in the words of Triton first where its clients know them.
pub(in crate::http) fn message(problem: &Problem) -> String {
    let detail = &problem.detail;
    match problem.code {
        Code::NotFound => "Not Found".to_owned(),
        Code::MethodNotAllowed => "Method Not Allowed".to_owned(),
        Code::QueueFull => format!("Exceeds maximum queue size: {detail}"),
        Code::DeadlineExceeded => format!("Request timeout expired: {detail}"),
        Code::ShuttingDown => "Server exiting".to_owned(),
        _ => detail.clone(),
    }
}

/// The request is wrong, in these words.
pub(in crate::http) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_its_kind() {
        let cases = [
            (Code::InvalidRequest, Kind::InvalidArgument),
            (Code::EmptyText, Kind::InvalidArgument),
            (Code::TextTooLong, Kind::InvalidArgument),
            (Code::ModelNotFound, Kind::NotFound),
            (Code::VersionNotFound, Kind::NotFound),
            (Code::BodyTooLarge, Kind::TooLarge),
            (Code::QueueFull, Kind::Unavailable),
            (Code::DeadlineExceeded, Kind::Unavailable),
            (Code::ModelNotReady, Kind::Unavailable),
            (Code::ShuttingDown, Kind::Unavailable),
            (Code::NotSupported, Kind::Unsupported),
            (Code::Internal, Kind::Internal),
            (Code::NonFiniteOutput, Kind::Internal),
        ];
        for (code, kind) in cases {
            assert_eq!(Kind::of(&Problem::new(code, "because")), kind, "{code:?}");
        }
    }

    #[test]
    fn messages_begin_as_those_of_triton() {
        let said = |code| message(&Problem::new(code, "because"));
        assert_eq!(said(Code::NotFound), "Not Found");
        assert_eq!(said(Code::QueueFull), "Exceeds maximum queue size: because");
        assert_eq!(said(Code::InvalidRequest), "because");
    }
}
