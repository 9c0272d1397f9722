//! The one list of all routes.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Request, State},
    routing::MethodRouter,
};
use http::{HeaderValue, Method, header};

use super::{
    access::Operation,
    applications, audit,
    code::Code,
    deliveries, delivery_commands, docs, enterprises,
    error::ApiError,
    events, integration_commands as commands, integrations, introspect, keys, messages, openapi,
    operational_messages, probes, public_keys, replays, reveal,
    serve::{endpoint, public, refuse, streaming},
    state::ApiState,
    webhook_commands, webhooks,
};

/// One route.
#[derive(Debug)]
pub struct RouteInfo {
    /// What it does.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// Its path, with `{Id}` for what varies.
    pub path: &'static str,
}

/// Makes the list and the router from one table.
macro_rules! routes {
    ($($kind:ident $operation:ident $method:ident $path:literal $handler:path;)+) => {
        static ROUTES: &[RouteInfo] = &[
            $(RouteInfo { operation: Operation::$operation, method: Method::$method, path: $path },)+
        ];

        fn handlers() -> Vec<MethodRouter<ApiState>> {
            let mut routes = ROUTES.iter();
            let mut next = || routes.next().expect("one for each");
            vec![$($kind(next(), $handler),)+]
        }
    };
}

#[rustfmt::skip]
routes! {
    endpoint PutEnterprise          PUT    "/v1/enterprises/{Id}"               enterprises::put;
    endpoint GetEnterprise          GET    "/v1/enterprises/{Id}"               enterprises::get;
    endpoint ListEnterprises        GET    "/v1/enterprises"                    enterprises::list;

    endpoint CreateApplication      POST   "/v1/applications"                   applications::create;
    endpoint ListApplications       GET    "/v1/applications"                   applications::list;
    endpoint GetApplication         GET    "/v1/applications/{Id}"              applications::get;
    endpoint UpdateApplication      PATCH  "/v1/applications/{Id}"              applications::update;

    endpoint CreateWebhook          POST   "/v1/applications/{Id}/webhooks"     webhooks::create;
    endpoint ListApplicationWebhooks GET   "/v1/applications/{Id}/webhooks"     webhooks::list_of_application;
    endpoint ListWebhooks           GET    "/v1/webhooks"                       webhooks::list;
    endpoint GetWebhook             GET    "/v1/webhooks/{Id}"                  webhooks::get;
    endpoint UpdateWebhook          PATCH  "/v1/webhooks/{Id}"                  webhooks::update;
    endpoint DeleteWebhook          DELETE "/v1/webhooks/{Id}"                  webhooks::delete;
    endpoint PauseWebhook           POST   "/v1/webhooks/{Id}/pause"            webhook_commands::pause;
    endpoint ResumeWebhook          POST   "/v1/webhooks/{Id}/resume"           webhook_commands::resume;
    endpoint TestWebhook            POST   "/v1/webhooks/{Id}/test"             webhook_commands::test;
    endpoint RotateSecret           POST   "/v1/webhooks/{Id}/rotate-secret"    webhook_commands::rotate_secret;
    endpoint BackfillWebhook        POST   "/v1/webhooks/{Id}/backfill"         replays::backfill;

    endpoint CreateIntegration      POST   "/v1/integrations"                   integrations::create;
    endpoint ListIntegrations       GET    "/v1/integrations"                   integrations::list;
    endpoint GetIntegration         GET    "/v1/integrations/{Id}"              integrations::get;
    endpoint DeleteIntegration      DELETE "/v1/integrations/{Id}"              commands::delete;
    endpoint EnableIntegration      POST   "/v1/integrations/{Id}/enable"       commands::enable;
    endpoint DisableIntegration     POST   "/v1/integrations/{Id}/disable"      commands::disable;
    endpoint CancelIntegration      POST   "/v1/integrations/{Id}/cancel"       commands::cancel;
    endpoint ReinstateIntegration   POST   "/v1/integrations/{Id}/reinstate"    commands::reinstate;
    endpoint RegenerateAccessToken  POST   "/v1/integrations/{Id}/regenerate-access-token" commands::regenerate;
    endpoint ListMessages           GET    "/v1/integrations/{Id}/messages"     messages::list;

    endpoint ListDeliveries         GET    "/v1/deliveries"                     deliveries::list;
    endpoint GetDelivery            GET    "/v1/deliveries/{Id}"                deliveries::get;
    endpoint ReplayDelivery         POST   "/v1/deliveries/{Id}/replay"         delivery_commands::replay;
    endpoint DiscardDelivery        POST   "/v1/deliveries/{Id}/discard"        delivery_commands::discard;

    endpoint RevealDelivery         POST   "/v1/deliveries/{Id}/reveal"         reveal::reveal;

    streaming StreamEvents          GET    "/v1/events"                         events::stream;

    endpoint StartReplay            POST   "/v1/replays"                        replays::start;
    endpoint ListReplays            GET    "/v1/replays"                        replays::list;
    endpoint GetReplay              GET    "/v1/replays/{Id}"                   replays::get;
    endpoint PauseReplay            POST   "/v1/replays/{Id}/pause"             replays::pause;
    endpoint ResumeReplay           POST   "/v1/replays/{Id}/resume"            replays::resume;
    endpoint CancelReplay           POST   "/v1/replays/{Id}/cancel"            replays::cancel;

    endpoint IntrospectAccessToken  POST   "/v1/access-tokens/introspect"       introspect::introspect;

    endpoint CreateKey              POST   "/v1/keys"                           keys::create;
    endpoint ListKeys               GET    "/v1/keys"                           keys::list;
    endpoint RotateKey              POST   "/v1/keys/{Id}/rotate"               keys::rotate;
    endpoint DeleteKey              DELETE "/v1/keys/{Id}"                      keys::delete;

    endpoint ListOperationalMessages GET   "/v1/operational-messages"           operational_messages::list;

    endpoint ListAudit              GET    "/v1/audit"                          audit::list;

    public   ReadPublicKeys         GET    "/.well-known/bellhop/webhooks/{Id}/keys" public_keys::read;
    public   Live                   GET    "/livez"                             probes::live;
    public   Ready                  GET    "/readyz"                            probes::ready;
    public   ReadMetrics            GET    "/metrics"                           probes::metrics;
    public   ReadOpenApi            GET    "/openapi.json"                      openapi::document;
    public   ReadDocs               GET    "/docs"                              docs::page;
    public   ReadDocsStyle          GET    "/docs/style.css"                    docs::style;
    public   ReadProblem            GET    "/problems/{Code}"                   docs::problem;
}

/// Every route.
pub fn list() -> &'static [RouteInfo] {
    ROUTES
}

/// The API, ready to be served.
pub fn router(api: ApiState) -> Router {
    let mut paths: BTreeMap<&str, (MethodRouter<ApiState>, Vec<&str>)> = BTreeMap::new();
    for (route, handler) in ROUTES.iter().zip(handlers()) {
        let (router, methods) = paths.entry(route.path).or_default();
        *router = std::mem::take(router).merge(handler);
        methods.push(route.method.as_str());
    }
    let router = paths
        .into_iter()
        .fold(Router::new(), |router, (path, (methods, names))| {
            router.route(path, methods.fallback(wrong_method(&names)))
        });
    router.fallback(wrong_path).with_state(api)
}

/// Answers 405 with the methods that the path takes.
fn wrong_method(
    methods: &[&str],
) -> impl Fn(State<ApiState>, Request) -> std::future::Ready<axum::response::Response> + Clone + use<>
{
    let mut allowed = methods.join(", ");
    if methods.contains(&"GET") {
        allowed.push_str(", HEAD");
    }
    move |State(api): State<ApiState>, request: Request| {
        let detail = format!(
            "This path takes {allowed}, not {}.",
            shown(request.method().as_str())
        );
        let mut error = ApiError::new(Code::MethodNotAllowed, detail);
        if let Ok(value) = HeaderValue::from_str(&allowed) {
            error = error.with_header(header::ALLOW, value);
        }
        std::future::ready(refuse(&api, &request, error))
    }
}

async fn wrong_path(State(api): State<ApiState>, request: Request) -> axum::response::Response {
    let path = shown(request.uri().path());
    let known = ROUTES.iter().map(|route| route.path);
    let hint = match super::checks::nearest(&path, known) {
        Some(meant) => format!(" Did you mean {meant}?"),
        None => " GET /docs lists all paths.".to_owned(),
    };
    let error = ApiError::new(Code::NotFound, format!("There is no path {path}.{hint}"));
    refuse(&api, &request, error)
}

/// A text of a stranger, cut.
fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
