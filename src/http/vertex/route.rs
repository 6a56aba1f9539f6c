//! The routes that a platform chooses: they are this server's own under another name, and go before its other routes.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use tower::ServiceBuilder;

use super::PATH;
use crate::http::server::Platform;

/// Where a chosen route for health leads.
const HEALTH: &str = "/health/ready";

/// The whole service, with the chosen routes as well.
pub(in crate::http) fn at_chosen_routes(service: Router, platform: &Platform) -> Router {
    if platform.health_route.is_none() && platform.predict_route.is_none() {
        return service;
    }
    let platform = platform.clone();
    let renamed = ServiceBuilder::new()
        .map_request(move |mut request: Request| {
            if let Some(path) = own(&platform, request.method(), request.uri().path()) {
                *request.uri_mut() = renamed(request.uri(), path);
            }
            request
        })
        .service(service);
    Router::new().fallback_service(renamed)
}

/// The path of our own that a chosen one means.
fn own(platform: &Platform, method: &Method, path: &str) -> Option<&'static str> {
    let is = |route: &Option<String>| route.as_deref() == Some(path);
    match *method {
        Method::GET | Method::HEAD if is(&platform.health_route) => Some(HEALTH),
        Method::POST if is(&platform.predict_route) => Some(PATH),
        _ => None,
    }
}

fn renamed(uri: &Uri, path: &'static str) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(path));
    // The parts are those of a whole URI.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_route_is_its_own_for_its_method_only() {
        let platform = Platform {
            health_route: Some("/".to_owned()),
            predict_route: Some("/v1/endpoints/7/deployedModels/8:predict".to_owned()),
            ..Platform::default()
        };
        let own = |method: &Method, path| own(&platform, method, path);
        assert_eq!(own(&Method::GET, "/"), Some(HEALTH));
        assert_eq!(own(&Method::POST, "/"), None);
        assert_eq!(own(&Method::POST, "/v1/endpoints/7/deployedModels/8:predict"), Some(PATH));
        assert_eq!(own(&Method::GET, "/v1/endpoints/7/deployedModels/8:predict"), None);
        let uri = renamed(&"http://a:1/x?y=z".parse().unwrap(), PATH);
        assert_eq!(uri, "http://a:1/vertex");
    }
}
